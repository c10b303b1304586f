"""Nearest rows by cosine, exact: float32 products in blocks propose, float64 products decide.

BLAS gives a product whose last bits depend on the block it was computed in and on the number of threads. So a row is
only ever *excluded* when its product falls short of the k-th best by more than the worst rounding error; what remains
is computed again row by row. Memory: a block of products (32 MiB), part of it again while it is chosen from, and the
candidates; with a filter also the block's allowed rows (at most 65,536).
"""

from __future__ import annotations

import numpy as np

from espalier.core.linalg import pair_dots
from espalier.core.search.part import Best, Metric, candidates

_PRODUCTS = 8 << 20  # products a block, 32 MiB of float32
_GATHERED = 1 << 16  # most rows gathered for a block, where a filter leaves some out
_CHOICE = 1 << 15  # products a query chosen from at once


class Cosine(Metric):
    """Unit vectors, (n, dim) float32; may be a memory map."""

    name = "cosine"

    def __init__(self, vectors: np.ndarray) -> None:
        self.data = vectors
        # More than twice the error of a float32 product of two unit rows.
        self.slack = np.float32(2.5 * (vectors.shape[1] + 4) * 2.0**-24)

    def nearest(self, queries: np.ndarray, k: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See Metric."""
        total = len(self.data) if rows is None else len(rows)
        best = Best(len(queries), k)
        # One large product waits for BLAS's threads once; the choice is made in parts that stay in cache.
        width = min(total, max(1, _PRODUCTS // len(queries)), total if rows is None else _GATHERED)
        buffer = np.empty(len(queries) * width, np.float32)
        for start in range(0, total, width):
            names = np.arange(start, min(start + width, total)) if rows is None else rows[start : start + width]
            block = self.data[start : start + width] if rows is None else self.data[names]
            products = buffer[: len(queries) * len(block)].reshape(len(queries), len(block))
            np.matmul(queries, block.T, out=products)
            for left in range(0, len(block), _CHOICE):
                part = slice(left, left + _CHOICE)
                query, column = candidates(products[:, part], 1 - best.worst - self.slack, k, self.slack)
                near = names[part][column]
                best.add(query, near, self.pairs(queries, query, near))
        return best.rows, best.costs

    def block(self, queries: np.ndarray, data: np.ndarray) -> np.ndarray:
        """See Metric; within ``slack / 2``."""
        return 1 - queries @ data.T

    def pairs(self, queries: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """See Metric."""
        return (1.0 - pair_dots(queries, query, self.data, rows)).astype(np.float32).clip(0.0, 2.0)
