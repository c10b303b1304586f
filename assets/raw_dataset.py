"""``raw_dataset``: what landed, one row a sample, each file read once."""

import dagster as dg

from assets.checks import few_unreadable, ids_unique, some_readable
from assets.frame import declared, materialized
from assets.landed import landed
from espalier.stages import raw_dataset as stage

CHECKS = (ids_unique, some_readable, few_unreadable)


@dg.asset(deps=[landed], **declared("raw_dataset", group="landing", kinds={"python", "duckdb"}, checks=CHECKS))
def raw_dataset(context: dg.AssetExecutionContext):
    """Every sample that landed: its key, digest, size, labels, and why it cannot be read where it cannot.

    Files are read once, for their digest, their header, and a reduced decode that finds truncated ones and gives
    the area grid that near duplicates are found by. Files that did not change since the last time are not read.
    They are read in a process of its own: one that crashes its decoder is recorded, as every unreadable one is.
    """
    yield from materialized(context, stage.run, CHECKS)
