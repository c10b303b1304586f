"""All similar pairs inside the clusters, and on demand across the borders of neighbouring clusters.

The upper triangle of each cluster's similarity matrix is walked in tiles; the whole matrix never exists. A cluster
whose vectors exceed the memory budget is walked in pieces, and every piece is compared with every other piece of its
cluster, so that splitting costs time, never pairs. Not here: clustering, ranking, verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from espalier.cluster.rows import as_unit_rows, exact_dots
from espalier.errors import EspalierError, UsageError
from espalier.pairs import Pairs

TILE = 2048  # rows and columns of a tile: 16 MiB; smaller ones leave BLAS threads waiting
MEMORY = 1 << 30
NOISE = 1e-5  # float32 products of unit rows by BLAS are off by less
_EXACT_ROWS = 4096


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
        Inner products computed.
    split : int
        Clusters that were walked in pieces.
    """

    pairs: Pairs
    n: int
    floor: float
    comparisons: int = 0
    split: int = 0


@dataclass
class _Walk:
    """The work in progress: vectors, floor, limits and what was found."""

    vectors: np.ndarray
    floor: float
    piece: int
    most_pairs: int
    found: list[Pairs]
    held: int = 0
    comparisons: int = 0
    buffer: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def compare(self, rows: np.ndarray, others: np.ndarray | None = None) -> Iterator[Pairs]:
        """Yield pairs above the floor among ``rows``, or between ``rows`` and ``others``, tile by tile."""
        own = others is None
        columns = rows if others is None else others
        for first in range(0, len(rows), self.piece):
            left = self._gather(rows[first : first + self.piece])
            for second in range(first if own else 0, len(columns), self.piece):
                same = own and second == first
                right = left if same else self._gather(columns[second : second + self.piece])
                for a, b, similarity in self._tiles(left, right, same):
                    yield Pairs(rows[a + first], columns[b + second], similarity)

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        if rows[-1] - rows[0] == len(rows) - 1:  # ascending without gaps: a view
            return self.vectors[rows[0] : rows[-1] + 1]
        return self.vectors[rows]

    def _tiles(
        self, left: np.ndarray, right: np.ndarray, same: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for top in range(0, len(left), TILE):
            rows = left[top : top + TILE]
            for start in range(top if same else 0, len(right), TILE):
                tile = self._product(rows, right[start : start + TILE])
                self.comparisons += tile.size
                if same and start == top:
                    np.fill_diagonal(tile, -2)
                if tile.max() <= self.floor - NOISE:
                    continue
                a, b = np.divmod(np.flatnonzero(tile > self.floor - NOISE), tile.shape[1])
                if same and start == top:
                    a, b = a[a < b], b[a < b]
                yield from self._exact(rows, right[start : start + TILE], a, b, top, start)

    def _product(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Multiply into one buffer for all tiles: fresh pages for each would cost a sixth of the time."""
        size = len(rows) * len(columns)
        if self.buffer.size < size:
            self.buffer = np.empty(size, dtype=np.float32)
        return np.matmul(rows, columns.T, out=self.buffer[:size].reshape(len(rows), len(columns)))

    def _exact(
        self, rows: np.ndarray, columns: np.ndarray, a: np.ndarray, b: np.ndarray, top: int, start: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Replace BLAS's noisy numbers by exact ones: the verdict must not depend on tiles and threads."""
        for begin in range(0, len(a), _EXACT_ROWS):
            i, j = a[begin : begin + _EXACT_ROWS], b[begin : begin + _EXACT_ROWS]
            similarity = np.minimum(exact_dots(rows[i], columns[j]), 1.0).astype(np.float32)
            over = similarity > np.float32(self.floor)
            yield i[over] + top, j[over] + start, similarity[over]

    def keep(self, pairs: Pairs) -> None:
        """Store pairs, in the order i < j."""
        if not len(pairs):
            return
        self.held += len(pairs)
        if self.held > self.most_pairs:
            raise EspalierError(
                f"More than {self.most_pairs:,} pairs of samples are more similar than {self.floor:g}.",
                "Ask for a smaller eps, remove near duplicates first, or give more memory.",
            )
        self.found.append(Pairs(np.minimum(pairs.i, pairs.j), np.maximum(pairs.i, pairs.j), pairs.similarity))


def similar_pairs(
    vectors: np.ndarray,
    assignment: np.ndarray,
    *,
    floor: float,
    centroids: np.ndarray | None = None,
    n_probe: int = 1,
    memory: int = MEMORY,
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
        Bytes for work and pairs, beside ``vectors``: a quarter for gathered vectors, half for pairs.
    progress : callable, optional
        Called with numbers of rows that add up to n.

    Returns
    -------
    SimilarPairs

    Raises
    ------
    UsageError
        When ``floor`` or ``n_probe`` is out of range, or centroids are missing.
    EspalierError
        When rows are not of unit norm, or there are more pairs than memory for them.
    """
    _check(floor, n_probe, centroids, len(vectors), len(assignment))
    rows = as_unit_rows(vectors)
    n = len(rows)
    piece = max(TILE, memory // 8 // (4 * rows.shape[1]) // TILE * TILE)
    walk = _Walk(rows, float(floor), piece, memory // 2 // _PAIR_BYTES, [])
    order, bounds = _members(assignment)
    probing = None if n_probe == 1 or centroids is None else _Probing(rows, assignment, centroids, n_probe)
    for start, stop in pairwise(bounds):
        members = order[start:stop]
        if len(members) > 1:
            for pairs in walk.compare(members):
                walk.keep(pairs)
        if probing is not None:
            visitors = probing.visitors(int(assignment[members[0]]))
            if len(visitors):
                for pairs in walk.compare(visitors, members):
                    walk.keep(probing.once(pairs))
        if progress is not None:
            progress(len(members))
    split = int((np.diff(bounds) > piece).sum())
    return SimilarPairs(Pairs.concatenate(walk.found).sorted(), n, float(floor), walk.comparisons, split)


_PAIR_BYTES = 64  # a stored pair (20 bytes), its copy while joining, and the sort


def _check(floor: float, n_probe: int, centroids: np.ndarray | None, n: int, assigned: int) -> None:
    if not -1 < floor < 1 or n_probe < 1:
        raise UsageError(f"floor {floor} and n_probe {n_probe}: -1 < floor < 1 and n_probe >= 1 are needed.")
    if n_probe > 1 and centroids is None:
        raise UsageError(f"n_probe {n_probe} needs the centroids.")
    if assigned != n:
        raise ValueError(f"{assigned} assignments for {n} vectors")


def _members(assignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by cluster, ascending inside each, and the bounds of the clusters that have rows."""
    order = np.argsort(assignment, kind="stable")
    ordered = np.asarray(assignment)[order]
    starts = np.flatnonzero(np.diff(ordered)) + 1
    bounds = np.concatenate([[0], starts, [len(order)]]) if len(order) else np.zeros(1, dtype=np.int64)
    return order, bounds


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
