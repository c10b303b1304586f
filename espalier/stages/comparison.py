"""``comparison``: methods at several amounts beside random, on the training samples of one dataset."""

import dataclasses
import json

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.baseline import compare, plan
from espalier.core.prune.select import needs
from espalier.io.drawing.plots import comparison_plot
from espalier.io.results import report_files
from espalier.io.warehouse import Draft, Table
from espalier.stages.context import Markdown, Picture, StageContext, StageResult
from espalier.stages.evaluation import all_files, training
from espalier.stages.loading import features_for
from espalier.stages.quality_rows import comparison_rows, markdown_summary, summarise, verdict_rows


def run(context: StageContext, **tables: Table) -> StageResult:
    """Measure methods at several amounts, each beside random of its size."""
    options = context.options
    recipes = plan(options.compare_methods, options.compare_ratios, options.compare_recipes)
    upstream = {n: tables[n] for n in ("raw_dataset", "embeddings", "semantic_dedup_set", "clusters")}
    known = training(context, **upstream)
    if not known.inside.any():
        raise EspalierError(
            f"No training sample of {context.dataset!r} reaches pruning.", "Only test and val are left; add others."
        )
    wanted = frozenset().union(*map(needs, recipes)) - {"vectors"}
    features = features_for(wanted, tables).take(np.flatnonzero(known.inside))
    features = dataclasses.replace(features, vectors=known.evaluation.vectors)
    raw = all_files(context, tables, known) if options.raw_random else None
    with context.bar("comparing", len(recipes)) as advance:
        compared = compare(
            recipes, features, known.evaluation, known.subsets, seeds=options.quality_seeds, raw=raw, progress=advance
        )
        everything = known.evaluation.measure(np.ones(features.n, bool))
    rows, verdicts = comparison_rows(compared, everything, known.names), verdict_rows(compared)
    stats = {
        "n_train": features.n,
        "n_files": len(raw.vectors) if raw is not None else None,
        "n_test": everything.n_test,
        "tested_on": known.who.source,
        "seeds": options.quality_seeds,
        "encoder": tables["embeddings"].meta.stats["encoder"],
        "left_out": json.dumps(compared.left_out),
    }
    summary = summarise(context.dataset, rows, verdicts, stats)
    png = comparison_plot(summary)
    return StageResult(
        Draft(rows, sort="", side={"verdicts": verdicts}, stats=stats),
        shown={
            "comparison": Markdown(markdown_summary(summary)),
            "plot": Picture(png, "accuracy and coverage by the share kept"),
        },
        folders=report_files(context.home.reports / context.dataset, summary, png),
    )
