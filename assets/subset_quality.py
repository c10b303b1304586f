"""``subset_quality``: whether what a recipe keeps is any better than random of its size."""

import dagster as dg

from assets.checks import not_worse
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import subset_quality as stage

CHECKS = (not_worse,)


@dg.asset(**declared("subset_quality", group="subsets", kinds={"numpy", "duckdb"}, checks=CHECKS))
def subset_quality(context: dg.AssetExecutionContext, **tables: Table):
    """Coverage, redundancy, balance and probe accuracies of what a recipe keeps, beside random of the same size.

    Measured among the training samples that reach pruning; the probes are tested on the whole test (else val)
    subset, else on a held-out tenth. docs/quality.md has the protocol. A row for the recipe, one a random seed.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
