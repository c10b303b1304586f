"""``pruned_dataset``: the subset of a recipe written out as a dataset of its own."""

import dagster as dg

from assets.checks import all_written
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import pruned_dataset as stage

CHECKS = (all_written,)


@dg.asset(**declared("pruned_dataset", group="subsets", kinds={"python", "files"}, checks=CHECKS))
def pruned_dataset(context: dg.AssetExecutionContext, **tables: Table):
    """The kept samples as a dataset of their own, in their own format or another; made on demand.

    Written beside its place and renamed into it when it is whole. A row a sample, with its file. docs/export.md has
    what each format keeps.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
