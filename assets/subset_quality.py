"""``subset_quality``: whether what a recipe keeps is any better than random of its size."""

import dagster as dg
import numpy as np

from assets.checks import not_worse
from assets.grounds import Training, training
from assets.stage import Outcome, Work, stage_asset
from espalier.quality import judge
from espalier.quality.beside import random_of_size
from espalier.recipe import Recipe
from resources.results.comparison import markdown_table, quality_rows
from resources.warehouse import Draft, Table


@stage_asset("subset_quality", kinds={"numpy", "duckdb"}, checks=(not_worse,))
def subset_quality(
    work: Work,
    raw_dataset: Table,
    embeddings: Table,
    semantic_dedup_set: Table,
    clusters: Table,
    pruned_manifest: Table,
) -> Outcome:
    """Coverage, redundancy, balance and probe accuracies of what a recipe keeps, beside random of the same size.

    Measured among the training samples that reach pruning; the probes are tested on the whole test (else val)
    subset, else on a held-out tenth. docs/quality.md has the protocol. A row for the recipe, one a random seed.
    """
    known = training(work, raw_dataset, embeddings, semantic_dedup_set, clusters)
    kept = pruned_manifest.column("kept", where="cluster IS NOT NULL")[known.inside]
    stats = {
        "tested_on": known.who.source,
        "n_train": len(kept),
        "n_train_kept": int(kept.sum()),
        "share_of_training_kept": float(kept.mean()) if len(kept) else 0.0,
    }
    if not kept.any():
        words = f"{work.recipe} keeps no training sample, so there is nothing to measure"
        return Outcome(Draft(quality_rows([], "kept_by", ()), sort="", stats={**stats, "verdict": words}))
    with work.bar("quality", 1 + work.options.quality_seeds) as advance:
        mine = known.ground.measure(kept)
        advance(1)
        whole = kept & ~_pruned(work.recipe, known)
        randoms = random_of_size(known.ground, int(kept.sum()), whole, work.options.quality_seeds, progress=advance)
    verdict = judge(mine, randoms)
    rows = quality_rows(
        [("recipe", None, mine), *(("random", seed, q) for seed, q in enumerate(randoms))], "kept_by", known.names
    )
    words = f"{work.recipe} {verdict.words}"
    stats |= {
        "verdict": words,
        "beats_random": verdict.beats,
        "difference": verdict.difference,
        "margin": verdict.margin,
        "metric": verdict.metric,
    }
    table = dg.MetadataValue.md(f"{words}.\n\n{markdown_table(rows, 'kept_by')}")
    return Outcome(Draft(rows, sort="", stats=stats), metadata={"quality": table})


def _pruned(recipe: str, known: Training) -> np.ndarray:
    """Return which training samples the recipe prunes; those of other subsets it keeps whole."""
    wanted = Recipe.parse(recipe).scope.subsets
    return np.isin(known.subsets, wanted) if wanted else np.ones(len(known.subsets), bool)
