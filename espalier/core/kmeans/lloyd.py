"""Lloyd's rounds for spherical k-means, with bounds that leave out rows that cannot change.

Dhillon and Modha 2001; the bounds follow Hamerly 2010, in cosines: when a centroid moves by a chord of length m, no
unit row's cosine to it changes by more than m. The result is that of the plain rounds. Differs from Hamerly: the tenth
of the centroids that moved most is compared outright, so that one restless centroid does not loosen everyone's bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from espalier.core.kmeans.search import NEAR_TIE, Nearest, nearest
from espalier.core.kmeans.sums import ClusterSums
from espalier.core.linalg import pair_dots

OUTRIGHT = 0.1  # at most this share of the centroids is compared with every row each round
CALM = 0.02  # and only those that moved by more: smaller steps cost less as looser bounds


class Lloyd:
    """The state of k-means on unit rows: centroids, assignment, bounds and exact sums.

    ``known`` is the nearest of the starting centroids for each row, if known already.
    """

    def __init__(self, vectors: np.ndarray, centroids: np.ndarray, known: Nearest | None = None) -> None:
        self.vectors = vectors
        self.centroids = centroids
        self.n_repaired = 0
        near = known or nearest(vectors, centroids)
        self.assignment, self.own, self.other = near.index, near.cosine, near.second
        self.sums = ClusterSums(*centroids.shape)
        self.sums.add(vectors, np.arange(len(vectors)), self.assignment)

    def run(self, max_iter: int, tol: float, progress: Callable[[int], None] | None = None) -> tuple[int, bool]:
        """Make rounds until nothing changes, the mean cosine gains less than ``tol``, or ``max_iter`` ends it.

        Returns the rounds made, and whether it converged. Every row ends at the nearest of the final centroids.
        """
        before = -np.inf
        for n_iter in range(1, max_iter + 1):
            self.repair()
            norms = self.sums.norms()
            mean_cosine = float(norms.sum()) / len(self.vectors)
            gained, before = mean_cosine - before, mean_cosine
            moved = self._move(norms)
            n_changed = self._reassign(moved)
            if progress is not None:
                progress(1)
            if n_changed == 0 or gained < tol:
                return n_iter, True
        return max_iter, False

    def jump(self, centroids: np.ndarray) -> None:
        """Put the centroids somewhere else and assign again."""
        step = centroids - self.centroids
        self.centroids = centroids
        self._reassign(np.sqrt(np.einsum("ij,ij->i", step, step)))

    def repair(self) -> None:
        """Give every empty cluster the row that lies farthest from its own centroid."""
        rows, clusters = fill_empty(self.vectors, self.centroids, self.assignment, self.sums.size)
        if len(rows):
            self.n_repaired += len(rows)
            self.other[rows] = np.maximum(self.other[rows], self.own[rows])  # the centroid they leave is an other now
            self._change(rows, clusters)

    def _change(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        self.sums.add(self.vectors, rows, self.assignment[rows], -1)
        self.sums.add(self.vectors, rows, clusters)
        self.assignment[rows] = clusters

    def _move(self, norms: np.ndarray) -> np.ndarray:
        """Put each centroid on its mean; return how far each moved (chord length, (k,) float32)."""
        means = self.sums.directions(norms, self.centroids)
        step = np.subtract(means, self.centroids, dtype=np.float32)
        self.centroids = means
        return np.sqrt(np.einsum("ij,ij->i", step, step))

    def _reassign(self, moved: np.ndarray) -> int:
        """Assign again the rows whose bounds no longer settle them; return how many changed."""
        stale = np.flatnonzero(moved[self.assignment] > 0)
        self.own[stale] = pair_dots(self.vectors, stale, self.centroids, self.assignment[stale], np.float32)
        self._bring_bound_up_to_date(moved)
        open_rows = np.flatnonzero(self.own - self.other < 2 * NEAR_TIE)
        near = nearest(self.vectors, self.centroids, None if len(open_rows) == len(self.vectors) else open_rows)
        self.own[open_rows], self.other[open_rows] = near.cosine, near.second
        changed = np.flatnonzero(near.index != self.assignment[open_rows])
        self._change(open_rows[changed], near.index[changed])
        return len(changed)

    def _bring_bound_up_to_date(self, moved: np.ndarray) -> None:
        """Raise ``other`` so that it bounds the cosine to every centroid but the own one."""
        restless = np.argsort(-moved, kind="stable")[: int(OUTRIGHT * len(moved))]
        restless = restless[moved[restless] > CALM]
        calm = moved.copy()
        calm[restless] = 0
        self.other += calm.max()
        if len(restless):
            near = nearest(self.vectors, self.centroids[restless])
            is_own = restless[near.index] == self.assignment
            np.maximum(self.other, np.where(is_own, near.second, near.cosine), out=self.other)


def fill_empty(
    vectors: np.ndarray, centroids: np.ndarray, assignment: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose for each empty cluster the row farthest from its own centroid, never the last row of a cluster.

    Row ``rows[i]`` goes to the empty cluster ``clusters[i]``: rows by falling distance, then by index; clusters by
    index. Fewer than there are empty clusters when no row lies off its centroid.
    """
    empty = np.flatnonzero(size == 0)
    if not len(empty):
        return np.empty(0, np.int64), np.empty(0, np.int32)
    distance = 1.0 - pair_dots(vectors, None, centroids, assignment)
    left = size.copy()
    rows: list[int] = []
    for row in np.lexsort((np.arange(len(distance)), -distance)):
        if len(rows) == len(empty) or distance[row] <= 1e-7:
            break
        if left[assignment[row]] > 1:
            left[assignment[row]] -= 1
            rows.append(int(row))
    return np.array(rows, dtype=np.int64), empty[: len(rows)].astype(np.int32)
