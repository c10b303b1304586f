"""Sums of the rows of each cluster, exact, so that no order of summation shows in the centroids.

Entries are rounded to multiples of 2**-26 (finer than float32 near 1) and summed as whole numbers in float64, which is
exact for up to 2**27 rows of unit norm a cluster. Rows can be taken out again without drift.
"""

from __future__ import annotations

import numpy as np

UNIT = np.float32(2.0**26)
BLOCK = 1024  # 4 MiB of doubles at d = 512: stays in the cache


class ClusterSums:
    """Exact sums, ``total`` in units of 2**-26, and sizes of ``k`` clusters of rows of width ``d``."""

    def __init__(self, k: int, d: int) -> None:
        self.total = np.zeros((k, d), dtype=np.float64)
        self.size = np.zeros(k, dtype=np.int64)

    def add(self, vectors: np.ndarray, rows: np.ndarray, clusters: np.ndarray, sign: int = 1) -> None:
        """Add (``sign=1``) or take out (``sign=-1``) ``vectors[rows]`` to or from ``clusters`` (one a row)."""
        if not len(rows):
            return
        self.size += sign * np.bincount(clusters, minlength=len(self.size))
        order = np.argsort(clusters, kind="stable")
        for start in range(0, len(order), BLOCK):
            part = order[start : start + BLOCK]
            whole = vectors[rows[part]]
            whole *= UNIT
            block = np.rint(whole, out=whole).astype(np.float64)
            owner = clusters[part]
            first = np.flatnonzero(np.diff(owner, prepend=-1))
            self.total[owner[first]] += sign * _sum_runs(block, first, np.diff(first, append=len(owner)))

    def norms(self) -> np.ndarray:
        """Return the length of each sum, (k,) float64; together they are the sum of all cosines to the means."""
        return self.lengths(self.total)

    @staticmethod
    def lengths(total: np.ndarray) -> np.ndarray:
        """Return the length of each of the given sums, in units of one row."""
        return np.sqrt(np.einsum("ij,ij->i", total, total)) / float(UNIT)

    def directions(self, norms: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Return the unit means, (k, d) float32; ``previous`` where a cluster is empty or its rows cancel out."""
        usable = norms > 1e-6
        scale = np.where(usable, norms, 1.0) * float(UNIT)
        means = (self.total / scale[:, None]).astype(np.float32)
        means[~usable] = previous[~usable]
        return means


def _sum_runs(block: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Sum runs of rows of whole numbers, run by run or, when runs are many and short, all their i-th rows at once.

    (``np.add.reduceat`` does the same ten times slower.)
    """
    if len(first) <= count.max():
        return np.stack([block[low : low + length].sum(axis=0) for low, length in zip(first, count, strict=True)])
    total = block[first]
    for i in range(1, count.max()):
        longer = np.flatnonzero(count > i)
        total[longer] += block[first[longer] + i]
    return total
