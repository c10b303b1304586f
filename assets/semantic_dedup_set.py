"""``semantic_dedup_set``: SemDeDup (arXiv 2303.09540) over the embeddings."""

import dagster as dg

from assets.checks import duplicates_point_to_kept, ids_known
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import semantic_dedup_set as stage

CHECKS = (ids_known, duplicates_point_to_kept)


@dg.asset(**declared("semantic_dedup_set", group="duplicates", kinds={"numpy", "duckdb"}, checks=CHECKS))
def semantic_dedup_set(context: dg.AssetExecutionContext, **tables: Table):
    """SemDeDup: samples whose embedding is nearer than eps to that of a kept one, within fine clusters.

    Similar pairs are stored (table ``pairs``), so a smaller eps, another rule or rank needs no new search. When
    samples are added, only pairs with these are searched, and only these can be dropped.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
