"""Label and cluster codes in their two shapes, and what is counted from them.

One code a sample stands as a plain integer array (negative: none); several labels a sample stand in
compressed rows, ``espalier.core.prune.base.Labels`` or anything else with ``indptr`` and ``codes``. Here both
become counts. Nothing here looks at vectors; the probes stand in ``knn.py`` and ``logistic.py``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class CompressedRows(Protocol):
    """Several codes a sample: ``codes[indptr[i]:indptr[i + 1]]`` belong to sample i."""

    @property
    def indptr(self) -> np.ndarray:
        """Where each sample's codes begin: (n + 1,) int64."""
        ...

    @property
    def codes(self) -> np.ndarray:
        """All codes, sample by sample."""
        ...


Codes = np.ndarray | CompressedRows


def n_rows(codes: Codes) -> int:
    """Return the number of samples."""
    return len(codes) if isinstance(codes, np.ndarray) else len(codes.indptr) - 1


def pairs(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return the (sample, code) pairs, in order of the samples; samples without a code have none.

    Parameters
    ----------
    codes : ndarray of shape (n,), int, or compressed rows
        Negative codes mean "none".

    Returns
    -------
    rows, values : ndarray of shape (n_pairs,), int64
    """
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
    if isinstance(codes, np.ndarray):
        return codes[rows]
    counts = np.diff(codes.indptr)[rows]
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flat = np.repeat(codes.indptr[:-1][rows] - indptr[:-1], counts) + np.arange(indptr[-1])
    return _Rows(indptr, codes.codes[flat])


class _Rows:
    """Compressed rows without names, as ``take`` gives them back."""

    def __init__(self, indptr: np.ndarray, codes: np.ndarray) -> None:
        self.indptr, self.codes = indptr, codes


def histograms(full: Codes, kept: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each code appears in ``full`` and in ``kept``: two (n_codes,) int64 arrays."""
    a, b = pairs(full)[1], pairs(kept)[1]
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    return np.bincount(a, minlength=size), np.bincount(b, minlength=size)
