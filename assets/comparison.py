"""``comparison``: methods at several amounts beside random, on the training samples of one dataset."""

import dagster as dg

from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import comparison as stage


@dg.asset(**declared("comparison", group="subsets", kinds={"numpy", "duckdb", "matplotlib"}))
def comparison(
    context: dg.AssetExecutionContext,
    raw_dataset: Table,
    dedup_set: Table,
    embeddings: Table,
    semantic_dedup_set: Table,
    clusters: Table,
    cluster_complexity: Table,
):
    """Methods at several amounts, each measured beside random of its size; made on demand.

    Every recipe prunes the training samples only, so all of one amount keep the same number. A row a recipe and
    seed; the table ``verdicts`` says which beat random. docs/quality.md has the protocol.
    """
    yield from materialized(
        context,
        stage.run,
        raw_dataset=raw_dataset,
        dedup_set=dedup_set,
        embeddings=embeddings,
        semantic_dedup_set=semantic_dedup_set,
        clusters=clusters,
        cluster_complexity=cluster_complexity,
    )
