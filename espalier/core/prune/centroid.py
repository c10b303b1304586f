"""``centroid``: as many cells as samples to keep, and of each cell the sample nearest to its centre.

Whence: Datumaro's ``centroid``, k-means with k = target. Differs: the distance to the centre is a cosine and
not bits compared with floats (where every member ties); copies leave no cell empty-handed, so the count is
exact; and k in the thousands is reached in two levels, coarse clusters first and cells inside each, which
costs O(n (sqrt(n) + target / sqrt(n))) instead of O(n target) a round and ends no farther from the centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.kmeans import fit_kmeans
from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.quota import largest_remainder

FLAT = 512  # up to so many cells one k-means is quick, and a little better than two levels
COARSE_ITER, FINE_ITER = 5, 8


@dataclass(frozen=True)
class Centroid(Method):
    """Keep the sample nearest to the centre of each of ``target`` k-means cells."""

    name: ClassVar[str] = "centroid"
    summary: ClassVar[str] = "as many k-means cells as samples to keep, of each the sample nearest to its centre"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Fit the cells, then keep the nearest of each; where copies leave fewer cells, more of the large ones."""
        self.check(features, target)
        if target == 0:
            none = np.zeros(features.n, np.int32)
            return keep_first(none, none, np.zeros(1, np.int64), group_word="cell", order_word="nearest")
        assert features.vectors is not None
        cell, distance = fit_cells(features.vectors, target, rng)
        size = np.bincount(cell)
        quota = largest_remainder(size, target, lower=1, upper=size)
        return keep_first(-distance.astype(np.float64), cell, quota, group_word="cell", order_word="nearest")


def fit_cells(vectors: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut unit rows into at most ``k`` non-empty cells; fewer only when there are fewer distinct vectors.

    Returns the cell of each row, (n,) int32, and its cosine distance to the cell's centre, (n,) float32.
    """
    if k <= FLAT:
        flat = fit_kmeans(vectors, k, rng=rng)
        return flat.assignment, flat.distance
    n = len(vectors)
    coarse = fit_kmeans(vectors, min(int(2 * n**0.5), k // 4), rng=rng, init="random", max_iter=COARSE_ITER)
    size = np.bincount(coarse.assignment)
    spread = np.bincount(coarse.assignment, weights=coarse.distance)
    share = largest_remainder(spread, k, lower=1, upper=size)
    rows = np.split(np.argsort(coarse.assignment, kind="stable"), np.cumsum(size)[:-1])
    cell, distance, first = np.empty(n, np.int32), np.empty(n, np.float32), 0
    for members, cells in zip(rows, share, strict=True):
        fine = fit_kmeans(vectors[members], int(cells), rng=rng, max_iter=FINE_ITER)
        cell[members], distance[members] = fine.assignment + first, fine.distance
        first += fine.k
    return cell, distance
