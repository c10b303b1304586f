"""``balanced``: the same number of every label (or a given mix), spread over the clusters inside each.

Whence: class quotas with a random draw inside, which DRoP (arXiv 2404.05579) shows to be a strong baseline.
Differs: the quotas are even, or a given mix, and not made of validation errors, as no model is at hand; the draw
inside a class is in proportion over its clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from espalier.core.errors import UsageError
from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first, label_groups, rank_in_groups
from espalier.core.quota import largest_remainder

_EXACT = 2**53  # whole numbers below this are exact in float64


@dataclass(frozen=True)
class Balanced(Method):
    """Keep equally many samples of each label, or a given mix, drawn evenly over the label's clusters.

    A sample with several labels counts for the rarest of them; samples without one are a label of their own.

    Parameters
    ----------
    mix : tuple of str
        Weights of labels, ``cat-3+dog-0.5``: three times, half of the even share. Labels not named weigh 1, a
        weight of 0 keeps a label's samples only when all others are used up. In a name, characters other than
        letters, digits, ``_`` and ``.`` are written as ``_``.
    """

    name: ClassVar[str] = "balanced"
    summary: ClassVar[str] = "equally many of every label, or a given mix, spread over clusters"
    needs: ClassVar[frozenset[str]] = frozenset({"labels", "clusters"})

    mix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [_weight(entry)[0] for entry in self.mix]
        if len(set(names)) < len(names):
            raise UsageError(f"mix={'+'.join(self.mix)} names a label twice.", "Give each label one weight.")

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Share the target over the labels by weight, then interleave each label's clusters.

        The j-th drawn of the s samples of a cluster inside a label comes at (j - U) / s, U uniform: any first
        part of a label's order holds its clusters in proportion.
        """
        self.check(features, target)
        clusters, labels = features.clusters, features.labels
        assert clusters is not None
        assert labels is not None
        group, size, names = label_groups(labels)
        quota = largest_remainder(self.weights(names), target, upper=size)
        cell = group.astype(np.int64) * len(clusters.size) + clusters.assignment
        _, cell, count = np.unique(cell, return_inverse=True, return_counts=True)
        draw = rng.random(features.n)
        place = (rank_in_groups(draw, cell) - rng.random(len(count))[cell]) / count[cell]
        return keep_first(-place, group, quota, group_word="label", group_names=names)

    def weights(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the weight of each label: (n_labels,) float64, whole where they can be: 0.3 and 0.5 are 3 and 5."""
        weights = [Fraction(1)] * len(names)
        written = [_as_written(name) for name in names]
        for entry in self.mix:
            name, weight = _weight(entry)
            matching = [i for i, known in enumerate(written) if known == name]
            if len(matching) != 1:
                what = "names no label of this dataset" if not matching else "could be several labels"
                raise UsageError(f"mix: {name!r} {what}.", f"Its labels are: {', '.join(sorted(written))}.")
            weights[matching[0]] = Fraction(repr(weight))
        if not any(weights):
            raise UsageError(f"mix={'+'.join(self.mix)} gives every label the weight 0.", "Give one more.")
        scale = math.lcm(*(weight.denominator for weight in weights))
        whole = [weight * scale for weight in weights]
        return np.array(whole if max(whole) < _EXACT else weights, np.float64)


def _as_written(name: str) -> str:
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_." else "_" for c in name)


def _weight(entry: str) -> tuple[str, float]:
    name, dash, number = entry.rpartition("-")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not (dash and name and 0 <= weight < math.inf):
        raise UsageError(f"mix: {entry!r} is not LABEL-WEIGHT.", "Write for example mix=cat-3+dog-0.5.")
    return _as_written(name), weight
