"""Nearest rows by Hamming distance of packed bits, exact, by faiss's popcount kernels, without an index or a copy.

A search keeps a heap a query; faiss orders it by (distance, row), so ties end on the row (pinned by tests).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.search.part import Metric

_SLICE = 100_000  # rows below which a thread of its own is not worth starting


def as_hashes(hashes: np.ndarray, what: str = "hashes") -> np.ndarray:
    """Return packed hashes, (n, bits // 8) uint8, C-contiguous and padded with zero bits to a multiple of 64.

    Copied only where they must be; ``what`` is what the message calls them.
    """
    if hashes.ndim != 2 or hashes.dtype != np.uint8 or not hashes.shape[1]:
        raise EspalierError(
            f"{what}: expected packed bits, uint8 of shape (n, bits // 8), got {hashes.dtype} of {hashes.shape}."
        )
    short = -hashes.shape[1] % 8
    return np.ascontiguousarray(np.pad(hashes, ((0, 0), (0, short))) if short else hashes)


class Hamming(Metric):
    """Packed bits, (n, n_bytes) uint8."""

    name = "hamming"
    slack = np.float32(0.0)

    def __init__(self, hashes: np.ndarray) -> None:
        self.data = as_hashes(hashes)

    def nearest(self, queries: np.ndarray, k: int, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """See Metric."""
        import faiss

        searched = self.data if rows is None else self.data[rows]
        threads = faiss.omp_get_max_threads()
        n_slices = min(threads // len(queries), len(searched) // _SLICE)
        if n_slices > 1:
            distances, near = _search_slices(queries, searched, k, n_slices)
        else:
            distances, near = _search_queries(queries, searched, k, threads)
        return near if rows is None else rows[near], distances.astype(np.float32)

    def block(self, queries: np.ndarray, data: np.ndarray) -> np.ndarray:
        """See Metric; exact, (n_queries, len(data)) int32."""
        import faiss

        kernels: Any = faiss  # its stubs leave this function out
        queries, data = np.ascontiguousarray(queries), np.ascontiguousarray(data)
        out = np.empty((len(queries), len(data)), np.int32)
        if out.size:
            kernels.hammings(
                faiss.swig_ptr(queries),
                faiss.swig_ptr(data),
                len(queries),
                len(data),
                data.shape[1],
                faiss.swig_ptr(out),
            )
        return out

    def pairs(self, queries: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """See Metric."""
        return np.bitwise_count(queries[query] ^ self.data[rows]).sum(axis=1, dtype=np.int32).astype(np.float32)


def _search(queries: np.ndarray, hashes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Search on the calling thread alone.

    faiss's own threads meet after every 65,536 rows, which on a busy machine costs many times the search; ours
    (below) meet once. The setting is the calling thread's own.
    """
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        return faiss.knn_hamming(queries, hashes, k, variant="hc")
    finally:
        faiss.omp_set_num_threads(threads)


def _search_queries(queries: np.ndarray, hashes: np.ndarray, k: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Search with a thread a share of the queries."""
    if threads < 2 or len(queries) < 2 or len(hashes) < _SLICE // len(queries):
        return _search(queries, hashes, k)
    with ThreadPoolExecutor(threads) as pool:
        shares = np.array_split(queries, min(threads, len(queries)))
        lists = list(pool.map(lambda share: _search(share, hashes, k), shares))
    return np.concatenate([distances for distances, _ in lists]), np.concatenate([near for _, near in lists])


def _search_slices(queries: np.ndarray, hashes: np.ndarray, k: int, n_slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Search slices of the rows side by side, for when there are fewer queries than threads."""
    cuts = np.linspace(0, len(hashes), n_slices + 1).astype(np.int64).tolist()
    with ThreadPoolExecutor(n_slices) as pool:
        searches = [pool.submit(_search, queries, hashes[a:b], min(k, b - a)) for a, b in pairwise(cuts)]
        lists = [search.result() for search in searches]
    distances = np.concatenate([distances for distances, _ in lists], axis=1)
    rows = np.concatenate([near + start for (_, near), start in zip(lists, cuts, strict=False)], axis=1)
    order = np.lexsort((rows, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)
