"""``entropy``: every cluster keeps its share, and inside a cluster rare labels are likelier to be drawn.

Whence: Datumaro's ``entropy``. Differs: exact counts; the draw is seeded; labels belong to samples and not
to annotations, so samples with none or several are drawn in their own right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.prune.base import Features, Labels, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.quota import largest_remainder


@dataclass(frozen=True)
class Entropy(Method):
    """Keep ``target * size / n`` of each cluster, drawn with weight 1 / count of the label in the cluster."""

    name: ClassVar[str] = "entropy"
    summary: ClassVar[str] = "each cluster keeps its share, rare labels are likelier to be drawn"
    needs: ClassVar[frozenset[str]] = frozenset({"clusters", "labels"})

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Share the target over the clusters by size, then draw by weight without replacement.

        The greatest of ``log(weight) + Gumbel noise`` are a weighted draw without replacement, one after
        another (Vieira 2014, "Gumbel-max trick and weighted reservoir sampling").
        """
        self.check(features, target)
        clusters, labels = features.clusters, features.labels
        assert clusters is not None
        assert labels is not None
        quota = largest_remainder(clusters.size, target, upper=clusters.size)
        score = np.log(draw_weights(labels, clusters.assignment)) - np.log(rng.standard_exponential(features.n))
        return keep_first(score, clusters.assignment, quota, group_word="cluster")


def draw_weights(labels: Labels, assignment: np.ndarray) -> np.ndarray:
    """Return 1 / (samples of the same label in the same cluster) for each sample: (n,) float64, in (0, 1].

    A sample with several labels takes the greatest of their weights (its rarest label speaks for it); samples without a
    label count as a class of their own.
    """
    n, n_classes = len(assignment), len(labels.names) + 1
    counts = np.diff(labels.indptr)
    bare = np.flatnonzero(counts == 0)
    sample = np.r_[np.repeat(np.arange(n), counts), bare]
    code = np.r_[labels.codes.astype(np.int64), np.full(len(bare), n_classes - 1)]
    cell = assignment[sample].astype(np.int64) * n_classes + code
    _, inverse, size = np.unique(cell, return_inverse=True, return_counts=True)
    weight = np.zeros(n)
    np.maximum.at(weight, sample, 1.0 / size[inverse])
    return weight
