"""One searchable dataset under one metric, and the two exact searches in it: each query alone, or all fused.

The metrics, ``hamming.py`` and ``cosine.py``, bring a search for each query, a block of distances, and the distances of
given pairs. Searches end on the k least costs so far: distances or scores made of them, equal ones by row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

_CELLS = 8 << 20  # distances a block
_ROWS = 32768  # most rows a block


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


class Metric(ABC):
    """The rows of one dataset under one distance, ``"hamming"`` (differing bits) or ``"cosine"`` (1 - cosine).

    ``slack`` is above twice the error of ``block``; 0 where it is exact.
    """

    name: str
    data: np.ndarray
    slack: np.float32

    @abstractmethod
    def nearest(self, queries: np.ndarray, k: int, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows of least distance to each query; k is at least 1 and at most the number of rows searched.

        ``rows`` are the ascending indices to search, None means all. Returns rows, int64, and distances, float32 but
        computed in float64, of shape (n_queries, k): nearest first, equal distances by row.
        """

    @abstractmethod
    def block(self, queries: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Return all distances of queries and a block of rows, perhaps rounded: (n_queries, len(data))."""

    @abstractmethod
    def pairs(self, queries: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the exact distances of pairs: (m,) float32."""

    def between(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the exact distances of every query and each of ``rows``: (n_queries, len(rows)) float32."""
        query = np.repeat(np.arange(len(queries)), len(rows))
        return self.pairs(queries, query, np.tile(rows, len(queries))).reshape(len(queries), len(rows))


def combine(wanted: np.ndarray, unwanted: np.ndarray, fuse: str, weight: float) -> np.ndarray:
    """Score n rows by distances to the queries and to the ``without`` examples, if any: (n,) float32, less is better.

    Least (or mean) distance to the queries, less ``weight`` times the least distance to an example that pushes away.
    ``wanted`` is (n_queries, n), ``unwanted`` (n_without, n).
    """
    score = wanted.min(axis=0).astype(np.float64) if fuse == "best" else wanted.mean(axis=0, dtype=np.float64)
    if len(unwanted):
        score = score - weight * unwanted.min(axis=0).astype(np.float64)
    return score.astype(np.float32)


def fused_topk(
    metric: Metric,
    queries: np.ndarray,
    without: np.ndarray,
    k: int,
    *,
    fuse: str,
    weight: float,
    rows: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of least ``combine`` score, best first, equal scores by row, and these scores."""
    n_wanted, both = len(queries), np.concatenate([queries, without])
    total = len(metric.data) if rows is None else len(rows)
    width = max(1, min(_ROWS, _CELLS // len(both)))
    # A little more where scores themselves are rounded to float32 (cosine scores stay below 2 + 2 weight).
    slack = np.float32(metric.slack * (1 + abs(weight))) if metric.slack else np.float32(0.0)
    best = Best(1, k)
    for start in range(0, total, width):
        names = np.arange(start, min(start + width, total)) if rows is None else rows[start : start + width]
        data = metric.data[start : start + width] if rows is None else metric.data[names]
        distances = metric.block(both, data)
        rough = combine(distances[:n_wanted], distances[n_wanted:], fuse, weight)
        _, column = candidates(-rough[None], -best.worst - slack, k, slack)
        near = names[column]
        exact = metric.between(both, near)
        score = combine(exact[:n_wanted], exact[n_wanted:], fuse, weight)
        best.add(np.zeros(len(near), np.int64), near, score)
    return best.rows[0], best.costs[0]
