"""What a prune method is: parameters in a frozen dataclass, data in the call, everything in the result.

Row order is the order of sample_id throughout, so a tie that ends on the row index ends on the sample id.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune.scope import Scope


@dataclass(frozen=True)
class Clusters:
    """Clusters of the samples.

    Attributes
    ----------
    assignment : ndarray of shape (n_samples,), int32
        Cluster of each sample, in [0, n_clusters).
    distance : ndarray of shape (n_samples,), float32
        Cosine distance of each sample to its own centroid, in [0, 2].
    size : ndarray of shape (n_clusters,), int64
        Members of each cluster.
    complexity : ndarray of shape (n_clusters,), float64, or None
        d_intra * d_inter of each cluster (arXiv 2401.04578, section 3).
    centroids : ndarray of shape (n_clusters, dim), float32, or None
        Unit centroids.
    n_neighbors : int
        Neighbouring centroids that the d_inter in ``complexity`` averages over.
    """

    assignment: np.ndarray
    distance: np.ndarray
    size: np.ndarray
    complexity: np.ndarray | None = None
    centroids: np.ndarray | None = None
    n_neighbors: int = 20


@dataclass(frozen=True)
class Labels:
    """Labels of the samples, several or none each, in compressed rows.

    Attributes
    ----------
    indptr : ndarray of shape (n_samples + 1,), int64
        ``codes[indptr[i]:indptr[i + 1]]`` are the labels of sample i.
    codes : ndarray of shape (n_labels_in_all,), int32
        Indices into ``names``; no label twice within a sample.
    names : tuple of str
        The label names, sorted.
    """

    indptr: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]

    def rarest(self) -> np.ndarray:
        """Return the rarest label of each sample, -1 where there is none: (n_samples,) int32.

        Where one label must speak for a sample with several, the rarest one does: it is the one that
        pruning would lose first. Equally rare ones: the lower code.
        """
        count = np.bincount(self.codes, minlength=len(self.names))
        sample = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        order = np.lexsort((self.codes, count[self.codes], sample))
        out = np.full(len(self.indptr) - 1, -1, np.int32)
        first = self.indptr[:-1][self.indptr[1:] > self.indptr[:-1]]
        out[sample[order][first]] = self.codes[order][first]
        return out

    def take(self, rows: np.ndarray) -> Labels:
        """Return the labels of ``rows`` (indices), in that order."""
        counts = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        flat = np.repeat(self.indptr[:-1][rows] - indptr[:-1], counts) + np.arange(indptr[-1])
        return Labels(indptr, self.codes[flat], self.names)


@dataclass(frozen=True)
class Features:
    """What a method may look at. A method names in ``needs`` what it reads; the rest may be None.

    Attributes
    ----------
    n : int
        Number of samples; every array has one row a sample, in order of sample_id.
    vectors : ndarray of shape (n, dim), float32
        Unit embeddings.
    hashes, text_hashes : ndarray of shape (n, bits // 8), uint8
        Packed SimHash bits of the image and of its text (caption, or label names).
    clusters : Clusters
    labels : Labels
    grids : ndarray of shape (n, 243), uint16
        Area means of a 9 x 9 grid an RGB channel (the near-duplicate feature's source).
    clip_scores : ndarray of shape (n,), float32
        Cosine of each picture and its text; NaN where there is no text.
    subsets : ndarray of shape (n,), str
        The subset of each sample; :func:`~espalier.core.prune.select.select` puts them here.
    """

    n: int
    vectors: np.ndarray | None = None
    hashes: np.ndarray | None = None
    text_hashes: np.ndarray | None = None
    clusters: Clusters | None = None
    labels: Labels | None = None
    grids: np.ndarray | None = None
    clip_scores: np.ndarray | None = None
    subsets: np.ndarray | None = None

    def has(self, need: str) -> bool:
        """Whether the field ``need`` is there; complexity and centroids are the clusters'."""
        if need in ("complexity", "centroids"):
            return self.clusters is not None and getattr(self.clusters, need) is not None
        if need == "labels":
            return self.labels is not None and len(self.labels.codes) > 0
        return getattr(self, need) is not None

    def take(self, rows: np.ndarray) -> Features:
        """Return the features of ``rows`` (ascending indices) only; cluster numbers stay as they are."""
        clusters = self.clusters and dataclasses.replace(
            self.clusters,
            assignment=self.clusters.assignment[rows],
            distance=self.clusters.distance[rows],
            size=np.bincount(self.clusters.assignment[rows], minlength=len(self.clusters.size)),
        )
        names = ("vectors", "hashes", "text_hashes", "grids", "clip_scores", "subsets")
        arrays = {name: array[rows] for name in names if (array := getattr(self, name)) is not None}
        return Features(len(rows), clusters=clusters, labels=self.labels and self.labels.take(rows), **arrays)


class Rule(IntEnum):
    """What decided a sample's fate."""

    METHOD = 0  #: the method itself
    WHOLE = 1  #: kept, its subset is not pruned
    PINNED = 2  #: kept by a human verdict
    BARRED = 3  #: dropped by a human verdict
    CLASS = 4  #: kept, its label would have fallen below min_per_class
    DISPLACED = 5  #: dropped to make room for PINNED and CLASS
    FILTERED = 6  #: dropped before the target was counted: its CLIP score is too low, or it has none


@dataclass(frozen=True)
class Selection:
    """What a method kept, and enough to say why in words.

    Attributes
    ----------
    kept : ndarray of shape (n,), bool
        Exactly ``target`` are True.
    score : ndarray of shape (n,), float64
        The number that the method ranked by; greater is kept first. NaN where the method did not look.
    group : ndarray of shape (n,), int32
        The group (cluster, label, bin) whose quota decided; 0 throughout when there is one group, -1 where
        the method did not look.
    rank : ndarray of shape (n,), int64
        1-based place of the sample inside its group, in the order of keeping; 0 where group is -1.
    quota : ndarray of shape (n_groups,), int64
        How many each group keeps.
    group_word : str
        What a group is: "cluster", "label", "bin", "" for one group.
    order_word : str
        What comes first: "hardest", "easiest", "drawn", "nearest", ...
    group_names : tuple of str
        Names of the groups where they have some (labels); empty means that numbers are shown.
    rule : ndarray of shape (n,), uint8, or None
        What decided: a value of :class:`Rule`. None means the method throughout. Where it is METHOD and the
        rank is known, ``kept == (rank <= quota[group])``.
    clip_scores : ndarray of shape (n,), float32, or None
        The features' own, where the recipe filters by them.
    measured : dict of str to str, int, float or None
        What the method measured of its own work, for the summary of the manifest.
    """

    kept: np.ndarray
    score: np.ndarray
    group: np.ndarray
    rank: np.ndarray
    quota: np.ndarray
    group_word: str = ""
    order_word: str = "drawn"
    group_names: tuple[str, ...] = ()
    rule: np.ndarray | None = None
    clip_scores: np.ndarray | None = None
    measured: dict[str, str | int | float | None] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Method(ABC):
    """A prune method; subclasses add their parameters as dataclass fields with defaults.

    Class attributes
    ----------------
    name, summary : str
        As in a recipe; one line for ``espalier methods``.
    needs : frozenset of str
        Fields of Features that must be there: "vectors", "hashes", "clusters", "complexity", "labels", "centroids", ...
    accepts : frozenset of str
        Which of the shared parameters (Scope) make sense: "seed", "space", "min_per_class", "subsets",
        "min_clip_score".
    instead : dict of str to str
        Names that users of the original may try, and what to write instead.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    accepts: ClassVar[frozenset[str]] = frozenset({"seed", "subsets", "min_per_class", "min_clip_score", "space"})
    instead: ClassVar[dict[str, str]] = {}

    @property
    def subsets(self) -> tuple[str, ...]:
        """Subsets that the method's own parameters name, in the sense of the shared ``subsets``."""
        return ()

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Fields of Features that this method, with these parameters, reads."""

    def used(self, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the values used of parameters that, where a recipe does not write them, are the dataset's options."""
        return {}

    def draws(self, scope: Scope) -> bool:  # noqa: ARG002
        """Whether the result depends on the seed."""
        return "seed" in self.accepts

    def check_scope(self, scope: Scope) -> None:
        """Refuse a shared parameter that would have no effect with this method's own parameters."""
        if scope.seed != 0 and not self.draws(scope):
            raise UsageError(
                f"seed={scope.seed} has no effect: {self.name} draws nothing with these parameters.",
                "Leave seed out.",
            )

    @abstractmethod
    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Keep exactly ``target`` of ``features.n`` samples."""

    def check(self, features: Features, target: int) -> None:
        """Refuse early what cannot be computed: a target out of range, a missing input."""
        if not 0 <= target <= features.n:
            raise EspalierError(f"{self.name} cannot keep {target} of {features.n} samples.", "Ask for fewer.")
        for need in sorted(self.needs):
            if not features.has(need):
                raise EspalierError(f"{self.name} needs {need}, which this dataset lacks.", _REMEDY[need])


_REMEDY = {
    "labels": "Methods that do without labels: random, cluster_random, centroid, ndr, density, prototypes, "
    "stratified, kcenter.",
    "text_hashes": "It has neither captions nor labels; use hash=img.",
    "subsets": "Give the subset of each sample, or leave per_subset out.",
    "vectors": "Materialize embeddings first.",
    "hashes": "Materialize embeddings first.",
    "clusters": "Materialize clusters first.",
    "centroids": "Materialize clusters first.",
    "complexity": "Materialize cluster_complexity first.",
    "grids": "It compares pictures, and some samples are texts: take another method.",
}
