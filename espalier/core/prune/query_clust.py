"""``query_clust``: one cluster a label, begun at a representative of the label; every cluster keeps its share.

Whence: Datumaro's ``query_clust``. Differs: every label that occurs has a representative (the original loses
label 0 and fails on classes without items); the representative is the sample nearest to the mean of its
label, not whichever comes first; distances to the centre are cosines, so that ``pick=nearest`` means
something; the counts are exact and the draw is seeded; ``hash=txt`` is the text alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from espalier.core.errors import UsageError
from espalier.core.hashing import as_vectors
from espalier.core.kmeans import fit_kmeans
from espalier.core.prune.base import Features, Labels, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.prune.scope import Scope
from espalier.core.quota import largest_remainder

BLOCK = 4096
_CLUSTERED = {"img": ("vectors",), "txt": ("text_hashes",), "both": ("hashes", "text_hashes")}


@dataclass(frozen=True)
class QueryClust(Method):
    """Cluster around one representative a label, then keep ``target * size / n`` of each cluster.

    Parameters
    ----------
    hash : {"img", "txt", "both"}
        What is clustered: the images, the hashes of their texts (caption, or label names), or the hash of each image
        and of its text one after the other, which is what Datumaro calls ``txt``.
    pick : {"random", "nearest"}
        Inside a cluster: drawn, or nearest to the centre first.
    """

    name: ClassVar[str] = "query_clust"
    summary: ClassVar[str] = "one cluster a label, begun at its representative; each keeps its share"

    hash: Literal["img", "txt", "both"] = "img"
    pick: Literal["random", "nearest"] = "random"

    @property
    def needs(self) -> frozenset[str]:
        """The labels, and the embeddings or the hashes."""
        return frozenset({"labels", *_CLUSTERED[self.hash]})

    def draws(self, scope: Scope) -> bool:  # noqa: ARG002
        """Draw only with ``pick=random``: the clusters begin at the representatives."""
        return self.pick == "random"

    def check_scope(self, scope: Scope) -> None:
        """Refuse ``space=hash`` where it has no effect: texts are clustered by their hashes in any space."""
        super().check_scope(scope)
        if self.hash != "img" and scope.space == "hash":
            raise UsageError(
                f"space=hash has no effect with hash={self.hash}, which always clusters hashes.", "Leave space out."
            )

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Find the representatives, cluster from there, share the target by size, keep the first of each."""
        self.check(features, target)
        assert features.labels is not None
        clustered = [getattr(features, name) for name in _CLUSTERED[self.hash]]
        vectors = np.concatenate(clustered, axis=1) if len(clustered) > 1 else clustered[0]
        if self.hash != "img":
            vectors = as_vectors(vectors, 8 * vectors.shape[1])
        start = np.unique(representatives(vectors, features.labels))
        fitted = fit_kmeans(vectors, len(start), rng=rng, init=vectors[start])
        size = np.bincount(fitted.assignment, minlength=fitted.k)
        near = self.pick == "nearest"
        return keep_first(
            -fitted.distance.astype(np.float64) if near else rng.random(features.n),
            fitted.assignment,
            largest_remainder(size, target, upper=size),
            group_word="query cluster",
            order_word="nearest" if near else "drawn",
        )


def representatives(vectors: np.ndarray, labels: Labels) -> np.ndarray:
    """Return for each label that occurs the row nearest to the mean of its samples, ties to the lower row."""
    from espalier.core.linalg import as_unit_rows  # the methods are listed without the clustering

    vectors = as_unit_rows(vectors)
    sample = np.repeat(np.arange(len(vectors)), np.diff(labels.indptr))
    order = np.lexsort((sample, labels.codes))
    sample, code = sample[order], labels.codes[order]
    first = np.flatnonzero(np.diff(code, prepend=-1))
    rows = np.empty(len(first), np.int64)
    for place, members in enumerate(np.split(sample, first[1:])):
        parts = [members[start : start + BLOCK] for start in range(0, len(members), BLOCK)]
        mean = sum(vectors[part].sum(axis=0, dtype=np.float64) for part in parts)
        likeness = np.concatenate([np.einsum("ij,j->i", vectors[p].astype(np.float64), mean) for p in parts])
        rows[place] = members[np.argmax(likeness)]
    return rows
