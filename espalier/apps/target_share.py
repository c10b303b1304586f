"""Semantic duplicates of a stored dataset, for questions that no stage asks: which eps keeps a wanted share."""

from collections.abc import Iterator

from espalier.core.dedup.pairs import Pairs
from espalier.core.dedup.semantic import SimilarPairs, eps_for_share, resolve, similar_pairs
from espalier.core.dedup.semantic.resolve import Share
from espalier.io.home import Home
from espalier.io.warehouse import Table
from espalier.stages.loading import marked, protected_rows

FLOORS = (0.8, 0.5, 0.2)
"""Cosines down to which pairs are searched, one after the other, until the share is reached."""


def eps_for_share_of(home: Home, dataset: str, share: float) -> Share:
    """Find the eps that keeps the share nearest to ``share`` of a dataset's embedded samples.

    Decides by the fine clusters, ranks and pairs that ``semantic_dedup_set`` holds, as its next run with that eps
    will. Nothing is clustered here: a dataset that grew keeps the clusters that it had, which a k-means over all of
    it would not give. Where the stored pairs end too early, those clusters are searched further down.
    """
    assets = ("raw_dataset", "embeddings", "semantic_dedup_set")
    raw, embeddings, stored = (home.store().need(asset, dataset) for asset in assets)
    params, ids = stored.meta.params, stored.arrow(["sample_id"])["sample_id"].combine_chunks()
    rule, position = params["rule"], stored.column("rank")
    marks = {
        "immune": protected_rows(raw, stored, params["protect"]) | marked(ids, params["keep"]),
        "drop": marked(ids, params["drop"]),
    }
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
