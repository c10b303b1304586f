"""The vectors of ``embeddings`` that a user brings, in the place of an encoder's."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.core.hashing import SimHash
from espalier.io.precomputed.alignment import Alignment, report
from espalier.io.precomputed.embeddings import Gathered, PrecomputedEmbeddings
from espalier.io.vectors.store import PART_ROWS, vector_schema
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_column
from espalier.stages.context import StageContext
from espalier.stages.vectors import Vectors, errors_table


def precomputed_vectors(context: StageContext, raw_dataset: Table, needed: pa.Table, simhash: SimHash) -> Vectors:
    """Read the survivors' vectors from the files that the card names, by sample id.

    All vectors are in memory at once, 4 bytes a component, as they are in the stages below.
    """
    alignment, precomputed, vectors = gathered(context, raw_dataset, needed)
    failed = np.flatnonzero(~vectors.have).tolist()
    if len(failed) == len(needed):
        first = vectors.errors[0] if failed else "no sample is left"
        raise EspalierError(
            f"No sample of {context.dataset!r} has a vector in {precomputed.path}.", f"The first reason: {first}."
        )
    counts, about = alignment.describe(), precomputed.describe()
    context.log.info(f"{precomputed.path}: {report(counts)}")
    return Vectors(
        batches=_batches(needed.filter(pa.array(vectors.have)), vectors, simhash),
        schema=vector_schema(precomputed.dim, simhash.length(precomputed.dim) // 8),
        have=vectors.have,
        failed=errors_table(needed, ~vectors.have, [vectors.errors[row] for row in failed]),
        stats={
            "encoder": about["model"],
            "encoder_id": precomputed.id,
            "dim": precomputed.dim,
            "vectors_of": "brought",
            "n_embedded": 0,
            "n_reused": 0,
            "n_brought": len(vectors.vectors),
            "brought": counts,
        },
        metadata={
            **{f"embeddings: {key}": str(value) for key, value in {**about, **counts}.items()},
            "embeddings: in words": report(counts),
        },
    )


def gathered(
    context: StageContext, raw_dataset: Table, needed: pa.Table
) -> tuple[Alignment, PrecomputedEmbeddings, Gathered]:
    """Align what the card names with all samples, and read the vectors of the needed rows into their order."""
    precomputed = PrecomputedEmbeddings.parse(context.options.embeddings)
    marks = precomputed.marks()
    samples = raw_dataset.arrow(["sample_id", "uid"]).combine_chunks()
    ids = samples["sample_id"].combine_chunks()
    alignment = precomputed.align(ids, samples["uid"].combine_chunks())
    with context.bar("reading vectors", len(needed)) as advance:
        vectors = precomputed.gather(alignment, pc.index_in(needed["sample_id"], value_set=ids).to_numpy())
        advance(len(needed))
    if precomputed.id and precomputed.marks() != marks:  # the id reads the files once more
        raise EspalierError(
            f"The files of {precomputed.path} changed while they were read.", "Run again when they are whole."
        )
    return alignment, precomputed, vectors


def _batches(rows: pa.Table, vectors: Gathered, simhash: SimHash) -> Iterator[pa.RecordBatch]:
    """Yield sample_id, sha256, vector and hash."""
    named = [rows[name].combine_chunks() for name in ("sample_id", "sha256")]
    start = 0
    for block in vectors.blocks(PART_ROWS):
        part = [column.slice(start, len(block)) for column in named]
        start += len(block)
        yield pa.RecordBatch.from_arrays(
            [*part, array_column(block), array_column(simhash(block))], names=["sample_id", "sha256", "vector", "hash"]
        )
