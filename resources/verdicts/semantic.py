"""Semantic duplicates of a stored dataset, for questions that no stage asks: which eps keeps a wanted share."""

import numpy as np

from espalier.rng import generator
from espalier.semdedup.share import Share
from resources.formats.base import subset_role
from resources.home import Home
from resources.landing.zone import LandingZone
from resources.options import Options
from resources.warehouse import Table
from resources.warehouse.session import session

FLOORS = (0.8, 0.5, 0.2)
"""Cosines down to which pairs are searched, one after the other, until the share is reached."""


def eps_for_share_of(home: Home, dataset: str, share: float) -> Share:
    """Find the eps that keeps the share nearest to ``share`` of a dataset's embedded samples.

    Searches the same fine clusters that the stage uses, down to a cosine of 0.2 when need be.
    """
    from espalier.cluster import fit_kmeans
    from espalier.semdedup import eps_for_share, rank_positions, resolve, similar_pairs

    store = home.store()
    options = Options.of_card(LandingZone(home.landing).card(dataset))
    stored = store.need("semantic_dedup_set", dataset)
    raw, embeddings = store.need("raw_dataset", dataset), store.need("embeddings", dataset)
    vectors = embeddings.matrix("vector")
    marks = _verdicts(raw, embeddings, options)
    fine = fit_kmeans(vectors, stored.meta.stats["fine_k"], rng=generator(options.seed, "semantic clusters"))
    position = rank_positions(fine.distance, options.rank, rng=generator(options.seed, "semantic rank"))
    for floor in FLOORS:
        similar = similar_pairs(
            vectors, fine.assignment, floor=floor, centroids=fine.centroids, n_probe=min(options.n_probe, fine.k)
        )
        least = resolve(similar, position, eps=1 - floor, rule=options.rule, **marks).kept.mean()
        if least <= share or floor == FLOORS[-1]:
            break
    return eps_for_share(similar, position, target_share=share, rule=options.rule, **marks)


def _verdicts(raw: Table, embeddings: Table, options: Options) -> dict[str, np.ndarray]:
    """Return which embedded samples never go (protected, kept by hand), and which a human drops."""
    with session(raw=raw, embeddings=embeddings) as db:
        rows = db.sql(
            "SELECT sample_id, raw.subset FROM embeddings JOIN raw USING (sample_id) ORDER BY sample_id"
        ).fetchall()
    immune = [subset_role(subset) in options.protect or sample in options.keep for sample, subset in rows]
    return {
        "immune": np.array(immune, dtype=bool),
        "drop": np.array([sample in options.drop for sample, _ in rows], dtype=bool),
    }
