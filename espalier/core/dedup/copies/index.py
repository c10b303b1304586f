"""An index for inner products: exact while that is quick, beyond it an inverted file around sampled rows.

Entries are kept in 16 bits: whole multiples of a power of two, as both callers give them, so that every product is
exact and the result depends on neither threads nor blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import faiss

_ADDED = 16_384


def build_index(
    entries: np.ndarray, *, queries: int, exact: float, cells_per_root: int, probes: int, rng: np.random.Generator
) -> faiss.Index:
    """Index rows.

    Parameters
    ----------
    entries : ndarray of shape (n, d)
        Exact in float16.
    queries : int
        How many rows will be sought.
    exact : float
        Inner products up to which all are computed.
    cells_per_root, probes : int
        Beyond it: lists by the square root of n, and lists that are searched for each query.
    rng : numpy.random.Generator
        Draws the lists' centres.
    """
    import faiss

    n, d = entries.shape
    flat = faiss.IndexFlatIP(d)
    index: faiss.Index = flat
    if n * queries > exact:
        cells = min(n, int(cells_per_root * np.sqrt(n)))
        flat.add(entries[np.sort(rng.choice(n, cells, replace=False))].astype(np.float32))
        kind = faiss.ScalarQuantizer.QT_fp16
        lists = faiss.IndexIVFScalarQuantizer(flat, d, cells, kind, faiss.METRIC_INNER_PRODUCT, False)
        lists.is_trained = True
        lists.nprobe = probes
        index = lists
    for start in range(0, n, _ADDED):
        index.add(entries[start : start + _ADDED].astype(np.float32))
    return index
