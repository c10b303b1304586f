"""All similar pairs inside the clusters, and on demand across the borders of neighbouring clusters.

The upper triangle of each cluster's similarity matrix is walked in tiles, and only the rows of one tile are held at a
time. A cluster bigger than a tile is split, and all its parts are compared with each other: splitting loses no pair. A
bound (``linalg.Screen``) rules most tiles out at a quarter of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from espalier.core.dedup.pairs import Pairs
from espalier.core.errors import EspalierError, UsageError
from espalier.core.linalg import (
    FEW,
    LEAST_WORK,
    NOISE,
    SAMPLE,
    Screen,
    as_unit_rows,
    choose_axes,
    gather,
    pair_dots,
    product,
)

TILE = 2048  # rows and columns of a tile: 16 MiB; smaller ones leave BLAS threads waiting
MEMORY = 1 << 30
_EXACT_ROWS = 4096


class TooManyPairs(EspalierError):
    """The similar pairs do not fit in memory; :func:`semantic.resolve_directly` does without them."""


@dataclass(frozen=True)
class SimilarPairs:
    """Every pair of rows more similar than ``floor`` that the search could see.

    Attributes
    ----------
    pairs : Pairs
        Sorted by (i, j), each once; similarities computed in double precision, rounded to float32.
    n : int
        Number of rows.
    floor : float
        Pairs are complete above this cosine, so ``eps`` up to ``1 - floor`` can be resolved.
    comparisons : int
        Pairs of rows looked at.
    split : int
        Clusters that were walked in several parts.
    """

    pairs: Pairs
    n: int
    floor: float
    comparisons: int = 0
    split: int = 0


@dataclass
class Walk:
    """The work in progress: vectors, their screen, floor, limits and the pairs stored so far."""

    vectors: np.ndarray
    screen: Screen
    floor: float
    most_pairs: int = 0
    stored: list[Pairs] = field(default_factory=list)
    held: int = 0
    comparisons: int = 0
    buffer: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def compare(self, rows: np.ndarray, others: np.ndarray | None = None) -> Iterator[Pairs]:
        """Yield pairs above the floor among ``rows``, or between ``rows`` and ``others``, tile by tile."""
        columns = rows if others is None else others
        for top in range(0, len(rows), TILE):
            above = rows[top : top + TILE]
            left = self.screen.of(above)
            for start in range(top if others is None else 0, len(columns), TILE):
                same = others is None and start == top
                aside = columns[start : start + TILE]
                right = left if same else self.screen.of(aside)
                yield from self._exact(*self._candidates(above, aside, left, right, same))

    def _candidates(
        self, above: np.ndarray, aside: np.ndarray, left: np.ndarray, right: np.ndarray, same: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of one tile whose cosine may exceed the floor, as rows (i, j)."""
        tile = self._product(left, right)
        self.comparisons += tile.size
        low = self.floor - NOISE
        if same:
            np.fill_diagonal(tile, -2)
        if tile.max() <= low:
            return above[:0], aside[:0]
        places = np.flatnonzero(tile > low)
        if self.screen.projects and len(places) > tile.size // FEW:
            tile = self._product(gather(self.vectors, above), gather(self.vectors, aside))
            places = np.flatnonzero(tile > low)
        a, b = np.divmod(places, tile.shape[1])
        if same:
            a, b = a[a < b], b[a < b]
        return above[a], aside[b]

    def _product(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Multiply into one buffer for all tiles: fresh pages for each would cost a sixth of the time."""
        size = len(rows) * len(columns)
        if self.buffer.size < size:
            self.buffer = np.empty(size, dtype=np.float32)
        return product(rows, columns, self.buffer[:size].reshape(len(rows), len(columns)))

    def _exact(self, i: np.ndarray, j: np.ndarray) -> Iterator[Pairs]:
        """Replace BLAS's noisy numbers by exact ones: the verdict must not depend on tiles and threads."""
        for start in range(0, len(i), _EXACT_ROWS):
            left, right = i[start : start + _EXACT_ROWS], j[start : start + _EXACT_ROWS]
            cosine = np.minimum(pair_dots(self.vectors, left, self.vectors, right), 1.0).astype(np.float32)
            over = cosine > np.float32(self.floor)
            yield Pairs(left[over], right[over], cosine[over])

    def keep(self, pairs: Pairs) -> None:
        """Store pairs, in the order i < j."""
        if not len(pairs):
            return
        self.held += len(pairs)
        if self.held > self.most_pairs:
            raise TooManyPairs(
                f"More than {self.most_pairs:,} pairs of samples are more similar than {self.floor:g}.",
                "Ask for a smaller eps, remove near duplicates first, or give more memory.",
            )
        self.stored.append(Pairs(np.minimum(pairs.i, pairs.j), np.maximum(pairs.i, pairs.j), pairs.similarity))


def similar_pairs(
    vectors: np.ndarray,
    assignment: np.ndarray,
    *,
    floor: float,
    centroids: np.ndarray | None = None,
    n_probe: int = 1,
    memory: int = MEMORY,
    fresh: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> SimilarPairs:
    """Find the pairs of rows of one cluster, or of neighbouring ones, with a cosine above ``floor``.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows (checked). May be memory-mapped.
    assignment : ndarray of shape (n,), int
        Cluster of each row. Numbers without rows (empty clusters) are fine.
    floor : float
        ``1 - eps`` for the greatest eps that will be asked for, in (-1, 1).
    centroids : ndarray of shape (k, d), float32, optional
        Needed when ``n_probe`` is above 1.
    n_probe : int, default 1
        Clusters that each row is compared with: its own and the ``n_probe - 1`` others whose centroids are nearest
        to it. A pair across a border is found when either row is near the other's cluster in this sense.
    memory : int, default 1 GiB
        Bytes for work and pairs, beside ``vectors``: a quarter for projected vectors, half for pairs.
    fresh : ndarray of shape (n,), bool, optional
        Find only pairs of which at least one row is fresh; those of other rows are known. All rows by default.
    progress : callable, optional
        Called with numbers of rows that add up to n.

    Raises
    ------
    UsageError
        When ``floor`` or ``n_probe`` is out of range, or centroids are missing.
    EspalierError
        When rows are not of unit norm.
    TooManyPairs
        When there are more pairs than memory for them (an EspalierError too).
    """
    check_search(floor, n_probe, centroids, len(vectors), len(assignment))
    rows = as_unit_rows(vectors)
    n = len(rows)
    order, bounds = members_of(assignment)
    screen = Screen(rows, _axes(rows, order, bounds, float(floor)), memory // 4)
    walk = Walk(rows, screen, float(floor), int(memory // 2 // _PAIR_BYTES))
    probing = None if n_probe == 1 or centroids is None else _Probing(rows, assignment, centroids, n_probe)
    new = np.ones(n, dtype=bool) if fresh is None else np.asarray(fresh, dtype=bool)
    for start, stop in pairwise(bounds):
        members = order[start:stop]
        for pairs in _with_fresh(walk, members, new):
            walk.keep(pairs)
        if probing is not None:
            visitors = probing.visitors(int(assignment[members[0]]))
            came = new[visitors]
            for some, hosts in ((visitors[came], members), (visitors[~came], members[new[members]])):
                for pairs in walk.compare(some, hosts) if len(some) and len(hosts) else ():
                    walk.keep(probing.once(pairs))
        if progress is not None:
            progress(len(members))
    split = int((np.diff(bounds) > TILE).sum())
    return SimilarPairs(Pairs.concatenate(walk.stored).sorted(), n, float(floor), walk.comparisons, split)


def _with_fresh(walk: Walk, members: np.ndarray, new: np.ndarray) -> Iterator[Pairs]:
    """Yield the pairs among ``members`` of which a row is new."""
    arrived, known = members[new[members]], members[~new[members]]
    if len(arrived) > 1:
        yield from walk.compare(arrived)
    if len(arrived) and len(known):
        yield from walk.compare(known, arrived)


_PAIR_BYTES = 64  # a stored pair (20 bytes), its copy while joining, and the sort


def check_search(floor: float, n_probe: int, centroids: np.ndarray | None, n: int, assigned: int) -> None:
    """Refuse wrong parameters of a search before it begins."""
    if not -1 < floor < 1 or n_probe < 1:
        raise UsageError(f"floor {floor} and n_probe {n_probe}: -1 < floor < 1 and n_probe >= 1 are needed.")
    if n_probe > 1 and centroids is None:
        raise UsageError(f"n_probe {n_probe} needs the centroids.")
    if assigned != n:
        raise ValueError(f"{assigned} assignments for {n} vectors")


def members_of(assignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by cluster, ascending inside each, and the bounds of the clusters that have rows."""
    order = np.argsort(assignment, kind="stable")
    ordered = np.asarray(assignment)[order]
    starts = np.flatnonzero(np.diff(ordered)) + 1
    bounds = np.concatenate([[0], starts, [len(order)]]) if len(order) else np.zeros(1, dtype=np.int64)
    return order, bounds


def _axes(vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, floor: float) -> np.ndarray | None:
    """Axes for the clusters ``order[bounds[c]:bounds[c + 1]]``, tried on pairs inside them; None for little work."""
    n, d = vectors.shape
    if (np.diff(bounds).astype(np.float64) ** 2).sum() / 2 * d < LEAST_WORK:
        return None
    inside = np.setdiff1d(np.arange(n - 1), bounds[1:-1] - 1)  # places whose next place is in the same cluster
    inside = inside[:: max(1, len(inside) // SAMPLE)]
    sample = vectors[np.sort(order[:: max(1, n // SAMPLE)])]
    return choose_axes(sample, vectors[order[inside]], vectors[order[inside + 1]], floor)


class _Probing:
    """Which rows are near which other clusters."""

    STEP = 2048.0  # whole multiples of 1 / 2048: products are exact in float32, so near ties cannot flicker

    def __init__(self, vectors: np.ndarray, assignment: np.ndarray, centroids: np.ndarray, n_probe: int) -> None:
        centres = np.rint(as_unit_rows(centroids, "centroids") * np.float32(self.STEP))
        count = min(n_probe - 1, len(centres) - 1)
        self._own = np.asarray(assignment)
        self._near = np.empty((len(vectors), count), dtype=np.int32)
        block = max(1, (4 << 20) // len(centres))
        for start in range(0, len(vectors), block) if count else ():
            part = slice(start, start + block)
            score = np.rint(vectors[part] * np.float32(self.STEP)) @ centres.T
            score[np.arange(len(score)), self._own[part]] = -np.inf
            self._near[part] = np.argpartition(score, -count, axis=1)[:, -count:]
        flat = self._near.ravel()
        self._order = np.argsort(flat, kind="stable")
        self._sorted = flat[self._order]
        self._count = max(count, 1)

    def visitors(self, cluster: int) -> np.ndarray:
        """Rows of other clusters that probe ``cluster``, ascending."""
        low, high = np.searchsorted(self._sorted, [cluster, cluster + 1])
        return self._order[low:high] // self._count

    def once(self, pairs: Pairs) -> Pairs:
        """Of pairs that both rows would find keep the one found from the lower cluster."""
        visitor_cluster, host_cluster = self._own[pairs.i], self._own[pairs.j]
        mutual = (self._near[pairs.j] == visitor_cluster[:, None]).any(axis=1)
        return pairs.take(~mutual | (visitor_cluster < host_cluster))
