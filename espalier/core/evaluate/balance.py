"""How far a subset's labels or clusters have moved from the full set's: divergence, classes lost.

Pure counting; geometry stands in ``cover.py``. The divergence is Jensen and Shannon's (Lin, 1991,
"Divergence measures based on the Shannon entropy"), base 2, so 0 means the same mix and 1 means disjoint.
"""

from __future__ import annotations

import numpy as np

from espalier.core.evaluate.codes import Codes, histograms


def divergence(codes_full: Codes, codes_kept: Codes) -> float:
    """Measure the Jensen-Shannon divergence of the kept samples' mix of codes from the full set's.

    Parameters
    ----------
    codes_full, codes_kept : ndarray of shape (n,), int, or compressed rows
        Codes of all samples, and of the kept ones. Negative codes (no label) are left out of the mix; a
        sample with several labels counts once for each.

    Returns
    -------
    float
        In [0, 1], base 2. 0.0 when the full set has no codes at all, 1.0 when only the kept ones have none.
    """
    full, kept = histograms(codes_full, codes_kept)
    if not full.sum():
        return 0.0 if not kept.sum() else 1.0
    if not kept.sum():
        return 1.0
    p, q = full / full.sum(), kept / kept.sum()
    value = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return float(min(max(value, 0.0), 1.0))


def classes_lost(codes_full: Codes, codes_kept: Codes) -> np.ndarray:
    """List the codes that the full set has and the kept samples have no longer.

    Returns
    -------
    ndarray of shape (n_lost,), int64
        Ascending.
    """
    full, kept = histograms(codes_full, codes_kept)
    return np.flatnonzero((full > 0) & (kept == 0))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
