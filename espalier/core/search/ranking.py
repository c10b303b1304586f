"""Ranking rows by several queries at once, to any depth: the least distance, the mean, or reciprocal ranks.

Near duplicates of what is shown are hidden by a walk down the ranking that skips what is too like a shown one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espalier.core.search.approximate import ApproximateHamming
from espalier.core.search.joined import Allowed, Joined, least
from espalier.core.search.part import combine

NEAR_COSINE = 0.05  # the cosine distance at which two samples count as duplicates unless told
_CHUNK = 512  # ranked rows compared at once
FUSE = ("best", "mean", "rrf")
_RRF = 60  # Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet"
_RRF_DEPTH = 1000  # least depth of a ranked list
_HEAP = 4096  # above that many results a query, distances are taken all at once


@dataclass(frozen=True)
class Ranking:
    """One question, checked: what is wanted, what pushes away, where to look; exactly, if without an ``index``."""

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


def score_together(
    wanted: np.ndarray, unwanted: np.ndarray, *, fuse: str, weight: float, unrelated: float, k: int
) -> np.ndarray:
    """Score rows by distances of several kinds (of pictures and of words, say), as ``Explorer.topk`` does by one kind.

    ``wanted`` and ``unwanted``, (n_queries, n) and (n_without, n) float32, are exact distances, each in its own kind;
    NaN where a row has nothing of that kind. ``unrelated`` stands for NaN with ``best`` and ``mean``; with ``rrf`` such
    a row has no rank there, and each ranking is followed for max(10 k, 1000) rows. Returns (n,) float32; less is
    better.
    """
    if fuse == "rrf":
        depth = max(10 * k, _RRF_DEPTH)
        return (weight * _gains(unwanted, depth) - _gains(wanted, depth)).astype(np.float32)
    return combine(np.nan_to_num(wanted, nan=unrelated), np.nan_to_num(unwanted, nan=unrelated), fuse, weight)


def _gains(distances: np.ndarray, depth: int) -> np.ndarray:
    """Return the sum of reciprocal ranks of each row: (n,) float64."""
    out = np.zeros(distances.shape[1])
    for one in distances:
        order = np.argsort(one, kind="stable")[:depth]  # NaN comes last
        order = order[~np.isnan(one[order])]
        out[order] += 1.0 / (_RRF + np.arange(1, len(order) + 1))
    return out


def near_threshold(metric: str, bits: int) -> float:
    """Return the distance at which two samples count as duplicates: a cosine of 0.95, or that angle in ``bits``."""
    if metric == "cosine":
        return NEAR_COSINE
    return float(np.floor(np.arccos(1 - NEAR_COSINE) / np.pi * bits))


def hide_duplicates(
    first: Callable[[int], tuple[np.ndarray, np.ndarray]], data: Joined, k: int, left: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Take the first k of a ranking of which none is within the distance ``threshold`` of an earlier one.

    ``first(m)`` gives the m best rows and their scores, and is asked for more until k are found; ``left`` rows can be
    ranked at all.
    """
    depth = min(left, max(4 * k, 256))
    while True:
        rows, scores = first(depth)
        shown = _walk(rows, k, threshold, data)
        if len(shown) >= k or depth >= left:
            return rows[shown], scores[shown]
        depth = min(left, 8 * depth)


def _walk(ranked: np.ndarray, k: int, threshold: float, data: Joined) -> np.ndarray:
    """Return the positions in ``ranked`` of the rows that are shown, ascending."""
    shown: list[int] = []
    for start in range(0, len(ranked), _CHUNK):
        place = np.arange(start, min(start + _CHUNK, len(ranked)))
        if shown:
            near = data.between(data.take(ranked[shown]), ranked[place]) <= threshold
            place = place[~near.any(axis=0)]
        while len(place) and len(shown) < k:
            shown.append(int(place[0]))
            near = data.between(data.take(ranked[place[:1]]), ranked[place])[0] <= threshold
            near[0] = True
            place = place[~near]
    return np.array(shown, np.int64)
