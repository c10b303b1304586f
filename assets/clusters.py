"""``clusters``: spherical k-means over the samples that reach pruning."""

import dagster as dg

from assets.checks import clusters_not_empty, ids_known
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import clusters as stage

CHECKS = (ids_known, clusters_not_empty)


@dg.asset(**declared("clusters", group="clusters", kinds={"numpy", "duckdb"}, checks=CHECKS))
def clusters(context: dg.AssetExecutionContext, **tables: Table):
    """The cluster of every sample that reaches pruning, and its cosine distance to the centroid.

    Spherical k-means from seeded k-means++ starts, every row trained on. ``k`` 0 takes the number of labels, or a
    rule for unlabelled data (docs/methods.md).
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
