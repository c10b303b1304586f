"""``prototypes``: the samples farthest from their prototype (or the nearest), over all clusters at once.

Whence: Sorscher et al. 2022, "Beyond neural scaling laws" (arXiv 2206.14486), the self-supervised prototype
metric (SSP) with its class balance. Differs: exact counts; ``easy`` at a quota of nought keeps none; the
balance may be over labels or, where there are none, over clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first, label_groups, rank_in_groups
from espalier.core.prune.scope import Scope, check_range
from espalier.core.quota import SNAP


@dataclass(frozen=True)
class Prototypes(Method):
    """Keep the hardest (or easiest) samples overall, with a floor for every group.

    Parameters
    ----------
    keep : {"hard", "easy"}
        Far from the cluster's centroid first, or near it.
    cls_bal_ratio : float in [0, 1]
        Each group keeps at least this share of an even quota (all it has, if fewer). 0 is no balance, 1 even.
    balance : {"cluster", "label"}
        What the groups are. A sample with several labels counts for the rarest of them.
    """

    name: ClassVar[str] = "prototypes"
    summary: ClassVar[str] = "the hardest samples overall (far from their prototype), balanced over groups"

    keep: Literal["hard", "easy"] = "hard"
    cls_bal_ratio: float = 0.5
    balance: Literal["cluster", "label"] = "cluster"

    def __post_init__(self) -> None:
        check_range("cls_bal_ratio", self.cls_bal_ratio, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        """The clusters, and the labels when they are what is balanced."""
        return frozenset({"clusters", "labels"} if self.balance == "label" else {"clusters"})

    def draws(self, scope: Scope) -> bool:
        """Nothing is drawn but the clusters of another space."""
        return scope.space == "hash"

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:  # noqa: ARG002
        """Give each group its floor, then the rest to the first overall."""
        self.check(features, target)
        clusters = features.clusters
        assert clusters is not None
        group, size = clusters.assignment, clusters.size
        names: tuple[str, ...] = ()
        if self.balance == "label":
            assert features.labels is not None
            group, size, names = label_groups(features.labels)
        score = clusters.distance.astype(np.float64) * (1 if self.keep == "hard" else -1)
        floor = even_floor(size, target, self.cls_bal_ratio)
        rank = rank_in_groups(score, group)
        beyond = np.flatnonzero(rank > floor[group])
        best = beyond[np.argsort(-score[beyond], kind="stable")[: target - floor.sum()]]
        quota = floor + np.bincount(group[best], minlength=len(size))
        return keep_first(
            score,
            group,
            quota,
            group_word=self.balance,
            order_word={"hard": "hardest", "easy": "easiest"}[self.keep],
            group_names=names,
        )


def even_floor(size: np.ndarray, target: int, ratio: float) -> np.ndarray:
    """Return the floor of each group: ``min(floor(ratio * target / groups), size)``; empty ones do not count."""
    groups = max(1, int((size > 0).sum()))
    return np.minimum(size, int(ratio * target / groups + SNAP))
