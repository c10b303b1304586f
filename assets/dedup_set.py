"""``dedup_set``: exact and near duplicates, found before anything costly runs, and leaks between subsets."""

import dagster as dg

from assets.checks import duplicates_point_to_kept, ids_known, no_leaks
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import dedup_set as stage

CHECKS = (ids_known, duplicates_point_to_kept, no_leaks)


@dg.asset(**declared("dedup_set", group="duplicates", kinds={"numpy", "duckdb"}, checks=CHECKS))
def dedup_set(context: dg.AssetExecutionContext, **tables: Table):
    """Exact copies, by bytes or pixels, and near duplicates: of each group the sample of best quality is kept.

    Near duplicates are proposed by layout, aligned and verified (near=standard), or neighbours in a gradient feature
    of a 9 x 9 grid of area means (near=fast). Every dropped sample has a kept one above the threshold. Samples of
    protected subsets (test, val) never go; their copies elsewhere do, and the tables `leaks` and `copies` list them.
    When files are added, only these are compared with what is kept.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
