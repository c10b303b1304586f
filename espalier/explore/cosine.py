"""Exact nearest rows by cosine: float32 products in blocks choose, float64 products decide.

BLAS gives a product that depends, in its last bits, on the block it was computed in. So a row is only ever
*excluded* on a product that is short of the k-th best by more than the worst rounding error; what remains
is computed again in float64, in an order fixed by the row's length. The answer is the same for any block
size and any number of threads, and equal distances end on the row.

Memory: one block of products (32 MiB), a copy of its part that is partitioned, and the candidates.
"""

from __future__ import annotations

import numpy as np

_PRODUCTS = 8 << 20  # products a block, 32 MiB of float32
_ROWS = 32768  # most rows a block
_CHUNK = 4096  # pairs computed again at once


def cosine_topk(
    queries: np.ndarray, vectors: np.ndarray, k: int, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of least cosine distance to each query.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, dim), float32
        Unit rows.
    vectors : ndarray of shape (n, dim), float32
        Unit rows; may be a memory map.
    k : int
        At least 1 and at most the number of rows searched.
    rows : ndarray of shape (n_allowed,), int64, optional
        Ascending row indices to search; all by default.

    Returns
    -------
    rows : ndarray of shape (n_queries, k), int64
        Nearest first; equal distances by row.
    distances : ndarray of shape (n_queries, k), float32
        1 - cosine, computed in float64, in [0, 2].
    """
    total = len(vectors) if rows is None else len(rows)
    width = max(1, min(_ROWS, _PRODUCTS // max(1, len(queries))))
    slack = np.float32(2.5 * (vectors.shape[1] + 4) * 2.0**-24)  # above twice a float32 product's error
    best = _Best(len(queries), k)
    for start in range(0, total, width):
        if rows is None:
            names, block = None, vectors[start : start + width]
        else:
            names = rows[start : start + width]
            block = vectors[names]
        products = queries @ block.T
        asked, found = _candidates(products, best.floor - slack, k, slack)
        found_rows = found + start if names is None else names[found]
        best.add(asked, found_rows, exact_distances(queries, vectors, asked, found_rows))
    return best.rows, best.distances


def exact_distances(queries: np.ndarray, vectors: np.ndarray, asked: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return 1 - queries[asked] . vectors[rows], pair by pair, in float64, as float32 in [0, 2]."""
    out = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        products = vectors[rows[part]].astype(np.float64) * queries[asked[part]]
        out[part] = 1.0 - products.sum(axis=1)
    return out.clip(0.0, 2.0, out=out)


def _candidates(products: np.ndarray, floor: np.ndarray, k: int, slack: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, column) of every product that may be among its query's k best."""
    inside = products >= floor[:, None]
    many = np.flatnonzero(inside.sum(axis=1) > 2 * k)
    if len(many) and products.shape[1] > k:
        kth = np.partition(products[many], products.shape[1] - k, axis=1)[:, products.shape[1] - k]
        inside[many] = products[many] >= np.maximum(floor[many], kth - slack)[:, None]
    flat = np.flatnonzero(inside)
    return np.divmod(flat, products.shape[1])


class _Best:
    """The k best (distance, row) of each query so far."""

    def __init__(self, n_queries: int, k: int) -> None:
        self.k = k
        self.rows = np.zeros((n_queries, 0), np.int64)
        self.distances = np.zeros((n_queries, 0), np.float32)

    @property
    def floor(self) -> np.ndarray:
        """Least similarity that can still enter, a query: -inf until k are known."""
        if self.rows.shape[1] < self.k:
            return np.full(len(self.rows), -np.inf, np.float32)
        return np.float32(1.0) - self.distances[:, -1]

    def add(self, asked: np.ndarray, rows: np.ndarray, distances: np.ndarray) -> None:
        """Take in new (query, row, distance) triples; every query must hold as many in all."""
        if not len(asked):
            return
        n, held = self.rows.shape
        asked = np.concatenate([np.repeat(np.arange(n), held), asked])
        rows = np.concatenate([self.rows.ravel(), rows])
        distances = np.concatenate([self.distances.ravel(), distances])
        order = np.lexsort((rows, distances, asked))
        counts = np.bincount(asked, minlength=n)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        keep = order[place < self.k]
        width = min(self.k, int(counts.min()))
        self.rows = rows[keep].reshape(n, width)
        self.distances = distances[keep].reshape(n, width)
