"""``subset_quality``: whether what a recipe keeps is any better than random of its size."""

import numpy as np

from espalier.core.evaluate import judge
from espalier.core.evaluate.baseline import random_of_size
from espalier.core.recipe import Recipe
from espalier.io.warehouse import Draft, Table
from espalier.stages.context import Markdown, StageContext, StageResult
from espalier.stages.evaluation import training
from espalier.stages.quality_rows import markdown_table, quality_rows


def run(
    context: StageContext,
    raw_dataset: Table,
    embeddings: Table,
    semantic_dedup_set: Table,
    clusters: Table,
    pruned_manifest: Table,
) -> StageResult:
    """Measure what a recipe keeps, beside random subsets of its size."""
    known = training(context, raw_dataset, embeddings, semantic_dedup_set, clusters)
    kept = pruned_manifest.column("kept", where="cluster IS NOT NULL")[known.inside]
    stats = {
        "tested_on": known.who.source,
        "n_train": len(kept),
        "n_train_kept": int(kept.sum()),
        "share_of_training_kept": float(kept.mean()) if len(kept) else 0.0,
    }
    if not kept.any():
        words = f"{context.recipe} keeps no training sample, so there is nothing to measure"
        return StageResult(Draft(quality_rows([], "kept_by", ()), sort="", stats={**stats, "verdict": words}))
    with context.bar("quality", 1 + context.options.quality_seeds) as advance:
        mine = known.evaluation.measure(kept)
        advance(1)
        scope = Recipe.parse(context.recipe).scope.subsets  # those of other subsets are kept whole
        whole = kept & ~np.isin(known.subsets, scope) if scope else np.zeros_like(kept)
        randoms = random_of_size(
            known.evaluation, int(kept.sum()), whole, context.options.quality_seeds, progress=advance
        )
    verdict = judge(mine, randoms)
    rows = quality_rows(
        [("recipe", None, mine), *(("random", seed, q) for seed, q in enumerate(randoms))], "kept_by", known.names
    )
    words = f"{context.recipe} {verdict.words}"
    stats |= {
        "verdict": words,
        "beats_random": verdict.beats,
        "difference": verdict.difference,
        "margin": verdict.margin,
        "metric": verdict.metric,
    }
    table = Markdown(f"{words}.\n\n{markdown_table(rows, 'kept_by')}")
    return StageResult(Draft(rows, sort="", stats=stats), shown={"quality": table})
