"""``comparison``: methods at several amounts beside random, on the training samples of one dataset."""

import dagster as dg

from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import comparison as stage


@dg.asset(**declared("comparison", group="subsets", kinds={"numpy", "duckdb", "matplotlib"}))
def comparison(context: dg.AssetExecutionContext, **tables: Table):
    """Methods at several amounts, each measured beside random of its size; made on demand.

    Every recipe prunes the training samples only, so all of one amount keep the same number. A row a recipe and
    seed; the table ``verdicts`` says which beat random. docs/quality.md has the protocol.
    """
    yield from materialized(context, stage.run, (), **tables)
