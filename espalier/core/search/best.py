"""The k least costs so far, a query: what every search here ends on.

A cost is a distance or a score made of distances; less is better, and equal costs end on the row. Nothing
here computes a distance.
"""

from __future__ import annotations

import numpy as np


def candidates(values: np.ndarray, floor: np.ndarray, k: int, slack: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Pick out what may be among the k greatest values of each row, as (query, column), in this order.

    ``values``, (n_queries, width) float32, are each within ``slack / 2`` of the truth. What is below ``floor``, one a
    query, cannot enter, the slack already taken off; nor what is below a row's own k-th best less the slack.
    """
    width = values.shape[1]
    if width <= k:
        return np.divmod(np.flatnonzero(values >= floor[:, None]), width)
    if np.isneginf(floor).all():  # nothing is held yet: all could enter
        return np.divmod(np.flatnonzero(values >= (_kth(values, k) - slack)[:, None]), width)
    inside = values >= floor[:, None]
    if np.count_nonzero(inside) > 2 * k * len(values):
        many = np.flatnonzero(np.count_nonzero(inside, axis=1) > 2 * k)
        inside[many] = values[many] >= np.maximum(floor[many], _kth(values[many], k) - slack)[:, None]
    return np.divmod(np.flatnonzero(inside), width)


def _kth(values: np.ndarray, k: int) -> np.ndarray:
    """Return the k-th greatest value of each row."""
    at = values.shape[1] - k
    return np.partition(values, at, axis=1)[:, at]


class Best:
    """The k least (cost, row) of each query so far, best first, (n_queries, held); ``held`` grows to k."""

    def __init__(self, n_queries: int, k: int) -> None:
        self.k = k
        self.rows = np.zeros((n_queries, 0), np.int64)
        self.costs = np.zeros((n_queries, 0), np.float32)

    @property
    def worst(self) -> np.ndarray:
        """Greatest cost held, a query: (n_queries,) float32; infinite until k are held."""
        if self.rows.shape[1] < self.k:
            return np.full(len(self.rows), np.inf, np.float32)
        return self.costs[:, -1]

    def add(self, query: np.ndarray, rows: np.ndarray, costs: np.ndarray) -> None:
        """Take in new (query, row, cost) triples; all queries get as many, or each at least k in all."""
        if not len(query):
            return
        n, held = self.rows.shape
        query = np.concatenate([np.repeat(np.arange(n), held), query])
        rows = np.concatenate([self.rows.ravel(), rows])
        costs = np.concatenate([self.costs.ravel(), costs])
        order = np.lexsort((rows, costs, query))
        counts = np.bincount(query, minlength=n)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        keep = order[place < self.k]
        width = min(self.k, int(counts.min()))
        self.rows = rows[keep].reshape(n, width)
        self.costs = costs[keep].reshape(n, width)
