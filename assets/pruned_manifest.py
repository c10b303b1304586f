"""``pruned_manifest``: every sample of a dataset under one recipe, kept or not, and why."""

import dagster as dg

from assets.checks import count_exact, ids_unique, whole
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import pruned_manifest as stage

CHECKS = (ids_unique, whole, count_exact)


@dg.asset(**declared("pruned_manifest", group="subsets", kinds={"duckdb", "parquet"}, checks=CHECKS))
def pruned_manifest(context: dg.AssetExecutionContext, **tables: Table):
    """Every sample under one recipe: kept or not, cluster, distance, score, and the reason in words.

    Written as a table and as a manifest folder: manifest.parquet, kept.txt, kept.marisa,
    kept_uids.npy, summary.json.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
