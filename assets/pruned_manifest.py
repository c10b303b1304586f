"""``pruned_manifest``: every sample of a dataset under one recipe, kept or not, and why."""

import dagster as dg

from assets.checks import count_exact, ids_unique, whole
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import pruned_manifest as stage

CHECKS = (ids_unique, whole, count_exact)


@dg.asset(**declared("pruned_manifest", group="subsets", kinds={"duckdb", "parquet"}, checks=CHECKS))
def pruned_manifest(
    context: dg.AssetExecutionContext,
    raw_dataset: Table,
    dedup_set: Table,
    embeddings: Table,
    semantic_dedup_set: Table,
    clusters: Table,
    cluster_complexity: Table,
):
    """Every sample under one recipe: kept or not, cluster, distance, score, and the reason in words.

    Written as a table and as a manifest folder: manifest.parquet, kept.txt, kept.marisa,
    kept_uids.npy, summary.json.
    """
    yield from materialized(
        context,
        stage.run,
        CHECKS,
        raw_dataset=raw_dataset,
        dedup_set=dedup_set,
        embeddings=embeddings,
        semantic_dedup_set=semantic_dedup_set,
        clusters=clusters,
        cluster_complexity=cluster_complexity,
    )
