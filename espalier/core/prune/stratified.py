"""``stratified``: equal shares over bins of the distance to the centroid, so easy and hard both stay.

Whence: the ``stratified`` policy of DataEval's prioritization (bins of equal width on the difficulty, equally
many drawn from each). Differs: the counts are exact where bins run out; the draw is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.prune.scope import check_range
from espalier.core.quota import largest_remainder


@dataclass(frozen=True)
class Stratified(Method):
    """Keep equally many samples of each bin of distance to the centroid, drawn at random inside.

    Parameters
    ----------
    bins : int, at least 1
        Bins of equal width between the least and the greatest distance.
    """

    name: ClassVar[str] = "stratified"
    summary: ClassVar[str] = "equal shares over bins of distance to the centroid: easy, middling and hard"
    needs: ClassVar[frozenset[str]] = frozenset({"clusters"})

    bins: int = 50

    def __post_init__(self) -> None:
        check_range("bins", self.bins, 1, 1_000_000)

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Bin the distances, share the target evenly over the bins, draw inside each."""
        self.check(features, target)
        assert features.clusters is not None
        group = equal_width_bins(features.clusters.distance, self.bins)
        size = np.bincount(group, minlength=self.bins)
        quota = largest_remainder(np.ones(self.bins), target, upper=size)
        return keep_first(rng.random(features.n), group, quota, group_word="distance bin")


def equal_width_bins(value: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each value, 0 for the least: (n,) int32; all in bin 0 when all are equal."""
    if not len(value):
        return np.empty(0, np.int32)
    value = value.astype(np.float64)
    low, high = value.min(), value.max()
    if low == high:
        return np.zeros(len(value), np.int32)
    return np.minimum((value - low) * (bins / (high - low)), bins - 1).astype(np.int32)
