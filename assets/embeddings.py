"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

import dagster as dg

from assets.checks import all_survivors, ids_known, vectors_unit
from assets.frame import declared, materialized
from espalier.io.warehouse import Table
from espalier.stages import embeddings as stage

CHECKS = (ids_known, all_survivors, vectors_unit)


@dg.asset(**declared("embeddings", group="embeddings", kinds={"openvino", "duckdb"}, checks=CHECKS, pool="gpu"))
def embeddings(context: dg.AssetExecutionContext, **tables: Table):
    """The survivors' unit vectors and their packed 512-bit SimHash, with the id of the encoder that made them.

    Decoded by a pool of threads, inferred by OpenVINO asynchronously. Content that this encoder has embedded before,
    here or in another dataset, is not embedded again; nor is a text. Samples that are texts and no pictures take the
    encoder's text side. Vectors that the card names (`embeddings`) are read instead, by sample id.
    """
    yield from materialized(context, stage.run, CHECKS, **tables)
