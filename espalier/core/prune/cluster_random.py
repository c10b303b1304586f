"""``cluster_random``: every cluster keeps its share, drawn at random inside.

Whence: Datumaro's ``cluster_random``. Differs: the shares are rounded by largest remainder, so that they
sum to the target; the original misses it in nearly every case. The draw is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.quota import largest_remainder


@dataclass(frozen=True)
class ClusterRandom(Method):
    """Keep ``target * size / n`` of each cluster, drawn uniformly."""

    name: ClassVar[str] = "cluster_random"
    summary: ClassVar[str] = "each cluster keeps its share, drawn at random inside"
    needs: ClassVar[frozenset[str]] = frozenset({"clusters"})

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Share the target over the clusters by size, then draw inside each."""
        self.check(features, target)
        clusters = features.clusters
        assert clusters is not None
        quota = largest_remainder(clusters.size, target, upper=clusters.size)
        return keep_first(rng.random(features.n), clusters.assignment, quota, group_word="cluster")
