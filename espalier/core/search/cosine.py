"""Nearest rows by cosine, exact: float32 products in blocks propose, float64 products decide.

BLAS gives a product whose last bits depend on the block it was computed in and on the number of threads. So a
row is only ever *excluded* when its product falls short of the k-th best by more than the worst rounding error;
what remains is computed again row by row. The answer is the same for any block and any number of threads.

Memory: a block of products (32 MiB), part of it again while it is chosen from, and the candidates; with a filter
also the block's allowed rows (at most 65,536).
"""

from __future__ import annotations

import numpy as np

from espalier.core.linalg import pair_dots
from espalier.core.search.best import Best, candidates

_PRODUCTS = 8 << 20  # products a block, 32 MiB of float32
_GATHERED = 1 << 16  # most rows gathered for a block, where a filter leaves some out
_CHOICE = 1 << 15  # products a query chosen from at once


def slack_of(dim: int) -> np.float32:
    """Return more than twice the error of a float32 product of two unit rows of ``dim`` numbers."""
    return np.float32(2.5 * (dim + 4) * 2.0**-24)


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
    slack = slack_of(vectors.shape[1])
    best = Best(len(queries), k)
    # One large product waits for BLAS's threads once; the choice is made in parts that stay in cache.
    width = min(total, max(1, _PRODUCTS // len(queries)), total if rows is None else _GATHERED)
    buffer = np.empty(len(queries) * width, np.float32)
    for start in range(0, total, width):
        names = np.arange(start, min(start + width, total)) if rows is None else rows[start : start + width]
        block = vectors[start : start + width] if rows is None else vectors[names]
        products = buffer[: len(queries) * len(block)].reshape(len(queries), len(block))
        np.matmul(queries, block.T, out=products)
        for left in range(0, len(block), _CHOICE):
            part = slice(left, left + _CHOICE)
            query, column = candidates(products[:, part], 1 - best.worst - slack, k, slack)
            found = names[part][column]
            best.add(query, found, pair_distances(queries, vectors, query, found))
    return best.rows, best.costs


def pair_distances(queries: np.ndarray, vectors: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosine distances of ``queries[query[i]]`` and ``vectors[rows[i]]``: (m,) float32 in [0, 2]."""
    return (1.0 - pair_dots(queries, query, vectors, rows)).astype(np.float32).clip(0.0, 2.0)
