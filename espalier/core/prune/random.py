"""``random``: a uniform draw without replacement, the yardstick for every other method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.prune.base import Features, Method, Selection


@dataclass(frozen=True)
class Random(Method):
    """Keep ``target`` samples drawn uniformly without replacement."""

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "uniform draw; the yardstick for every other method"
    accepts: ClassVar[frozenset[str]] = frozenset({"seed", "subsets", "min_per_class", "min_clip_score"})
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Give each sample a random key and keep the greatest ``target`` of them."""
        self.check(features, target)
        score = rng.random(features.n)
        order = np.argsort(-score, kind="stable")
        rank = np.empty(features.n, np.int64)
        rank[order] = np.arange(1, features.n + 1)
        return Selection(
            kept=rank <= target,
            score=score,
            group=np.zeros(features.n, np.int32),
            rank=rank,
            quota=np.array([target], np.int64),
        )
