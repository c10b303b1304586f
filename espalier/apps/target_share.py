"""Semantic duplicates of a stored dataset, for questions that no stage asks: which eps keeps a wanted share."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from espalier.core.dedup.pairs import Pairs
from espalier.core.dedup.semantic import SimilarPairs, eps_for_share, resolve, similar_pairs
from espalier.core.dedup.semantic.share import Share
from espalier.io.formats.read.base import subset_role
from espalier.io.home import Home
from espalier.io.warehouse import Table
from espalier.io.warehouse.session import session

FLOORS = (0.8, 0.5, 0.2)
"""Cosines down to which pairs are searched, one after the other, until the share is reached."""


def eps_for_share_of(home: Home, dataset: str, share: float) -> Share:
    """Find the eps that keeps the share nearest to ``share`` of a dataset's embedded samples.

    Decides by the fine clusters, ranks and pairs that ``semantic_dedup_set`` holds, as its next run with that eps
    will. Nothing is clustered here: a dataset that grew keeps the clusters that it had, which a k-means over all of
    it would not give. Where the stored pairs end too early, those clusters are searched further down.
    """
    store = home.store()
    stored, embeddings = store.need("semantic_dedup_set", dataset), store.need("embeddings", dataset)
    rule = stored.meta.params["rule"]
    position = stored.column("rank")
    marks = _verdicts(store.need("raw_dataset", dataset), stored)
    for similar in _ever_further(stored, embeddings):
        if resolve(similar, position, eps=1 - similar.floor, rule=rule, **marks).kept.mean() <= share:
            break
    return eps_for_share(similar, position, target_share=share, rule=rule, **marks)


def _ever_further(stored: Table, embeddings: Table) -> Iterator[SimilarPairs]:
    """Yield the similar pairs as they are stored, then those down to each lower floor."""
    reached = stored.meta.stats["floor"]
    if stored.meta.stats["pairs stored"]:
        columns = stored.arrow(["i", "j", "similarity"], table="pairs")
        yield SimilarPairs(Pairs(*(column.to_numpy() for column in columns)), len(stored), reached)
    vectors, centroids = embeddings.matrix("vector"), stored.matrix("centroid", table="centroids")
    for floor in FLOORS:
        if floor < reached:
            yield similar_pairs(
                vectors,
                stored.column("fine_cluster"),
                floor=floor,
                centroids=centroids,
                n_probe=min(stored.meta.params["n_probe"], len(centroids)),
            )


def _verdicts(raw: Table, stored: Table) -> dict[str, np.ndarray]:
    """Return which embedded samples never go (protected, kept by hand), and which a human drops."""
    params: Any = stored.meta.params
    with session(raw=raw, stored=stored) as db:
        rows = db.sql(
            "SELECT sample_id, raw.subset FROM stored JOIN raw USING (sample_id) ORDER BY sample_id"
        ).fetchall()
    immune = [subset_role(subset) in params["protect"] or sample in params["keep"] for sample, subset in rows]
    return {
        "immune": np.array(immune, dtype=bool),
        "drop": np.array([sample in params["drop"] for sample, _ in rows], dtype=bool),
    }
