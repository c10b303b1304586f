"""``cluster_complexity``: how wide each cluster is and how far its neighbours are (arXiv 2401.04578)."""

import dagster as dg

from assets.checks import members_add_up
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import cluster_complexity as stage

CHECKS = (members_add_up,)


@dg.asset(**declared("cluster_complexity", group="clusters", kinds={"numpy", "duckdb"}, checks=CHECKS))
def cluster_complexity(context: dg.AssetExecutionContext, **tables: Table):
    """A row a cluster: size, d_intra, d_inter, complexity, label entropy, prototypical and hardest samples.

    d_intra is the mean cosine distance to the own centroid, d_inter that of the centroid to its nearest 20.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
