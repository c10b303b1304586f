"""``density``: Density-Based Pruning, more samples from complex clusters.

Whence: Abbas, Rusak et al. 2024, "Effective pruning of web-scale datasets based on complexity of concept
clusters" (arXiv 2401.04578), section 3. Differs: the quadratic program is solved exactly (espalier.core.quota) and
the counts are exact, no cluster is emptied while the target allows, the default temperature is the paper's
0.1 and not the released code's 0.5, empty clusters take no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from espalier.core.complexity import cluster_complexity
from espalier.core.errors import UsageError
from espalier.core.prune.base import Clusters, Features, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.prune.scope import Scope, check_range
from espalier.core.quota import density_quota, sized_quota

TEMPERATURE = 0.1


@dataclass(frozen=True)
class Density(Method):
    """Keep more of the clusters that are wide and far from others, and of each the hardest samples.

    Parameters
    ----------
    keep : {"hard", "easy", "random"}
        Inside a cluster: far from the centroid first, near it first, or drawn.
    temperature : float above 0
        Of the softmax over complexity; the smaller, the more goes to the complex clusters.
    cls_bal_ratio : float in [0, 1]
        Each cluster keeps at least this share of an even quota (all it has, if fewer). 0 is no floor, 1 even.
    n_neighbors : int, at least 1, optional
        Neighbouring centroids that d_inter averages over; without it, as many as the clusters were measured with.
    by : {"complexity", "size", "uniform"}
        What the quotas follow: d_intra * d_inter, the cluster's size, or nothing (even quotas).
    """

    name: ClassVar[str] = "density"
    summary: ClassVar[str] = "Density-Based Pruning: complex clusters keep more, the hardest samples of each"

    keep: Literal["hard", "easy", "random"] = "hard"
    temperature: float = TEMPERATURE
    cls_bal_ratio: float = 0.5
    n_neighbors: int | None = None
    by: Literal["complexity", "size", "uniform"] = "complexity"

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 1e-6, 1e6)
        check_range("cls_bal_ratio", self.cls_bal_ratio, 0, 1)
        if self.n_neighbors is not None:
            check_range("n_neighbors", self.n_neighbors, 1, 1_000_000)
        if self.by != "complexity":
            for name, value, default in (
                ("temperature", self.temperature, TEMPERATURE),
                ("n_neighbors", self.n_neighbors, None),
            ):
                if value != default:
                    raise UsageError(f"{name}={value} has no effect with by={self.by}.", f"Leave {name} out, or by.")

    @property
    def needs(self) -> frozenset[str]:
        """The clusters, and what their complexity is made of."""
        if self.by != "complexity":
            return frozenset({"clusters"})
        return frozenset({"clusters", "complexity" if self.n_neighbors is None else "centroids"})

    def used(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Name the neighbours: the recipe's own, else the dataset's."""
        if self.by != "complexity":
            return {}
        return {"n_neighbors": options["n_neighbors"] if self.n_neighbors is None else self.n_neighbors}

    def draws(self, scope: Scope) -> bool:
        """Only ``keep=random`` draws, and the clusters of another space."""
        return self.keep == "random" or scope.space == "hash"

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Share the target over the clusters by complexity, then keep the first of each."""
        self.check(features, target)
        clusters = features.clusters
        assert clusters is not None
        distance = clusters.distance.astype(np.float64)
        score = {"hard": distance, "easy": -distance}.get(self.keep)
        return keep_first(
            rng.random(features.n) if score is None else score,
            clusters.assignment,
            self.quota(clusters, target),
            group_word="cluster",
            order_word={"hard": "hardest", "easy": "easiest", "random": "drawn"}[self.keep],
        )

    def quota(self, clusters: Clusters, target: int) -> np.ndarray:
        """Return how many samples each cluster keeps: (n_clusters,) int64, their sum ``target``."""
        quota = np.zeros(len(clusters.size), np.int64)
        alive = np.flatnonzero(clusters.size)
        if len(alive) == 0:
            return quota
        size = clusters.size[alive]
        if self.by == "complexity":
            hardness = self._complexity(clusters)[alive]
            quota[alive] = density_quota(
                hardness, size, target, temperature=self.temperature, cls_bal_ratio=self.cls_bal_ratio
            )
        else:
            weights = size if self.by == "size" else np.ones_like(size)
            quota[alive] = sized_quota(weights, size, target, cls_bal_ratio=self.cls_bal_ratio)
        return quota

    def _complexity(self, clusters: Clusters) -> np.ndarray:
        if clusters.complexity is not None and self.n_neighbors in (None, clusters.n_neighbors):
            return clusters.complexity
        assert clusters.centroids is not None
        assert self.n_neighbors is not None
        return cluster_complexity(
            clusters.centroids, clusters.assignment, clusters.distance, self.n_neighbors
        ).complexity
