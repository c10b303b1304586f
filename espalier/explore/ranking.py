"""Ranking rows by several queries at once, to any depth: the least distance, the mean, or reciprocal ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.explore.approximate import ApproximateHamming
from espalier.explore.joined import Allowed, Joined, least

FUSE = ("best", "mean", "rrf")
_RRF = 60  # Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet"
_RRF_DEPTH = 1000  # least depth of a ranked list
_HEAP = 4096  # above that many results a query, distances are taken all at once


@dataclass(frozen=True)
class Ranking:
    """One question, checked: what is wanted, what pushes away, where to look.

    Attributes
    ----------
    data : Joined
    queries, without : ndarray
        Rows like the data's; ``without`` may be empty.
    fuse : {"best", "mean", "rrf"}
    weight : float
        Of ``without``.
    allowed : list of ndarray or None
    index : ApproximateHamming or None
        None means exact.
    """

    data: Joined
    queries: np.ndarray
    without: np.ndarray
    fuse: str
    weight: float
    allowed: Allowed
    index: ApproximateHamming | None

    def first(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k best rows (k at most those allowed) and their scores, less is better."""
        if not k:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if self.fuse == "rrf":
            return self._by_ranks(k)
        # A row among the k best by least distance is among the k nearest of some query: lists suffice.
        if self.fuse == "best" and not len(self.without) and k <= _HEAP:
            rows, distances = self._lists(self.queries, k)
            return least(rows.ravel(), distances.ravel(), k)
        return self.data.fused(self.queries, self.without, k, self.allowed, fuse=self.fuse, weight=self.weight)

    def distances(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's distance to the queries (least, or the mean) and which query is nearest."""
        each = self.data.between(self.queries, rows)
        distance = each.mean(axis=0, dtype=np.float64) if self.fuse == "mean" else each.min(axis=0)
        return distance.astype(np.float32), each.argmin(axis=0)

    def _lists(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if self.index is not None:
            return self.index.search(queries, k)
        return self.data.nearest(queries, k, self.allowed)

    def _by_ranks(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        depth = min(self.data.count(self.allowed), max(10 * k, _RRF_DEPTH))
        gain = 1.0 / (_RRF + np.arange(1, depth + 1))
        wanted, _ = self._lists(self.queries, depth)
        rows, place = np.unique(wanted.ravel(), return_inverse=True)
        score: np.ndarray = -np.bincount(place, np.tile(gain, len(wanted)), len(rows))
        if len(self.without):
            unwanted, _ = self._lists(self.without, depth)
            at = np.searchsorted(rows, unwanted.ravel()).clip(max=len(rows) - 1)
            hit = rows[at] == unwanted.ravel()
            score = score + self.weight * np.bincount(at[hit], np.tile(gain, len(unwanted))[hit], len(rows))
        return least(rows, score.astype(np.float32), k)
