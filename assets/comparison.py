"""``comparison``: methods at several amounts beside random, on the training samples of one dataset."""

import dataclasses
import json

import dagster as dg
import numpy as np

from assets.grounds import all_files, training
from assets.loading import features_for
from assets.stage import Outcome, Work, stage_asset
from espalier.errors import EspalierError
from espalier.prune.select import needs
from espalier.quality.beside import compare, plan
from resources.graph import COMPARISON
from resources.pictures import plots
from resources.pictures.compare_plot import draw
from resources.results.comparison import comparison_rows, markdown_summary, summarise, verdict_rows
from resources.results.reports import report_files
from resources.warehouse import Draft, Table


@stage_asset(COMPARISON, kinds={"numpy", "duckdb", "matplotlib"})
def comparison(work: Work, **tables: Table) -> Outcome:
    """Methods at several amounts, each measured beside random of its size; made on demand.

    Every recipe prunes the training samples only, so all of one amount keep the same number. A row a recipe and
    seed; the table ``verdicts`` says which beat random. docs/quality.md has the protocol.
    """
    options = work.options
    recipes = plan(options.compare_methods, options.compare_ratios, options.compare_recipes)
    upstream = {n: tables[n] for n in ("raw_dataset", "embeddings", "semantic_dedup_set", "clusters")}
    known = training(work, **upstream)
    if not known.inside.any():
        raise EspalierError(
            f"No training sample of {work.dataset!r} reaches pruning.", "Only test and val are left; add others."
        )
    wanted = frozenset().union(*map(needs, recipes)) - {"vectors"}
    features = features_for(wanted, tables).take(np.flatnonzero(known.inside))
    features = dataclasses.replace(features, vectors=known.ground.vectors)
    raw = all_files(work, tables, known) if options.raw_random else None
    with work.bar("comparing", len(recipes)) as advance:
        found = compare(
            recipes, features, known.ground, known.subsets, seeds=options.quality_seeds, raw=raw, progress=advance
        )
        everything = known.ground.measure(np.ones(features.n, bool))
    rows, verdicts = comparison_rows(found, everything, known.names), verdict_rows(found)
    stats = {
        "n_train": features.n,
        "n_files": len(raw.vectors) if raw is not None else None,
        "n_test": everything.n_test,
        "tested_on": known.who.source,
        "seeds": options.quality_seeds,
        "encoder": tables["embeddings"].meta.stats["encoder"],
        "left_out": json.dumps(found.left_out),
    }
    summary = summarise(work.dataset, rows, verdicts, stats)
    png = draw(summary)
    return Outcome(
        Draft(rows, sort="", side={"verdicts": verdicts}, stats=stats),
        metadata={
            "comparison": dg.MetadataValue.md(markdown_summary(summary)),
            "plot": dg.MetadataValue.md(plots.markdown(png, "accuracy and coverage by the share kept")),
        },
        folders=(report_files(work.home.reports / work.dataset, summary, png),),
    )
