"""Label and cluster codes in their two shapes, and what is counted from them: the mix, and how far it has moved.

One code a sample stands as a plain integer array (negative: none); several labels a sample stand in the compressed
rows of ``espalier.core.prune.base.Labels``. The divergence is Jensen and Shannon's (Lin, 1991, "Divergence measures
based on the Shannon entropy"), base 2, so 0 means the same mix and 1 means disjoint. Nothing here looks at vectors.
"""

from __future__ import annotations

import numpy as np

from espalier.core.prune.base import Labels

Codes = np.ndarray | Labels


def n_rows(codes: Codes) -> int:
    """Return the number of samples."""
    return len(codes) if isinstance(codes, np.ndarray) else len(codes.indptr) - 1


def pairs(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return the (sample, code) pairs, int64, in order of the samples; samples without a code have none."""
    if isinstance(codes, np.ndarray):
        rows, flat = np.arange(len(codes)), codes
    else:
        rows, flat = np.repeat(np.arange(len(codes.indptr) - 1), np.diff(codes.indptr)), codes.codes
    known = np.flatnonzero(np.asarray(flat) >= 0)
    return rows[known].astype(np.int64), np.asarray(flat)[known].astype(np.int64)


def first(codes: Codes) -> np.ndarray:
    """Return the first code of each sample, -1 where there is none: (n,) int64."""
    rows, values = pairs(codes)
    out = np.full(n_rows(codes), -1, np.int64)
    lead = np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)]
    out[rows[lead]] = values[lead]
    return out


def take(codes: Codes, rows: np.ndarray) -> Codes:
    """Return the codes of ``rows`` (indices or a mask), in that order, in the same shape."""
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    return codes[rows] if isinstance(codes, np.ndarray) else codes.take(rows)


def divergence(codes_full: Codes, codes_kept: Codes) -> float:
    """Measure the Jensen-Shannon divergence of the kept samples' mix of codes from the full set's, in [0, 1], base 2.

    Negative codes (no label) are left out of the mix; a sample with several labels counts once for each. 0.0 when the
    full set has no codes at all, 1.0 when only the kept ones have none.
    """
    full, kept = _histograms(codes_full, codes_kept)
    if not full.sum():
        return 0.0 if not kept.sum() else 1.0
    if not kept.sum():
        return 1.0
    p, q = full / full.sum(), kept / kept.sum()
    value = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return float(min(max(value, 0.0), 1.0))


def classes_lost(codes_full: Codes, codes_kept: Codes) -> np.ndarray:
    """List the codes that the full set has and the kept samples have no longer: int64, ascending."""
    full, kept = _histograms(codes_full, codes_kept)
    return np.flatnonzero((full > 0) & (kept == 0))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def _histograms(full: Codes, kept: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each code appears in ``full`` and in ``kept``: two (n_codes,) int64 arrays."""
    a, b = pairs(full)[1], pairs(kept)[1]
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    return np.bincount(a, minlength=size), np.bincount(b, minlength=size)
