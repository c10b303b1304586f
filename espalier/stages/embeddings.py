"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.hashing import SimHash
from espalier.io.encoders import Encoder
from espalier.io.encoders.prompts import check_templates, templates_for
from espalier.io.vectors.texts import text_columns
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import session
from espalier.stages.context import StageContext, StageResult
from espalier.stages.encoded_vectors import SampleTexts, encoded_vectors, encoder_of, sample_texts
from espalier.stages.options import StageOptions
from espalier.stages.precomputed_vectors import precomputed_vectors


def run(context: StageContext, raw_dataset: Table, dedup_set: Table) -> StageResult:
    """Give every survivor a unit vector and its hash, and the texts beside them where there are any."""
    options = context.options
    encoder = encoder_of(context)
    templates = templates_of(options, encoder, raw_dataset.meta.stats["format"])
    with session(raw=raw_dataset, dedup=dedup_set) as db:
        needed = db.sql(
            f"""SELECT sample_id, raw.sha256, uri, {text_columns(templates[0])}
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    simhash, own = SimHash(), bool(options.embeddings)
    if own:
        vectors = precomputed_vectors(context, raw_dataset, needed, simhash)
    else:
        vectors = encoded_vectors(context, encoder, needed, simhash)
    try:
        beside = (
            SampleTexts(vectors.texts)
            if vectors.texts
            else sample_texts(context, encoder, needed, simhash, templates, locked=own)
        )
    except BaseException:
        for piece in vectors.cleanup:
            piece.discard()
        raise
    texts = beside.texts
    if texts is not None and encoder.joint and not own and vectors.texts is None:
        texts = texts.scoring(pc.not_equal(needed["uri"], "").to_numpy())
    rows, schema = vectors.batches, vectors.schema
    if texts is not None:
        rows, schema = texts.beside(rows, vectors.have), pa.schema([*schema, *texts.fields()])
    return StageResult(
        Draft(
            pa.RecordBatchReader.from_batches(schema, rows),
            sort="",
            side={"errors": vectors.failed, **({"texts": texts.table()} if texts else {})},
            stats={
                **vectors.stats,
                "n_failed": len(vectors.failed),
                "n_texts": len(texts.texts) if texts else 0,
                "n_scored": texts.n_scored(vectors.have) if texts else 0,
                **beside.stats,
            },
        ),
        shown=vectors.metadata,
        cleanup=(*beside.cleanup, *vectors.cleanup),
    )


def templates_of(options: StageOptions, encoder: Encoder, format_name: str) -> tuple[str, ...]:
    """Return the templates of labels: the user's, else those of the format; none for a text side of its own space."""
    if not encoder.joint:
        return ("{}",)
    return templates_for(format_name) if options.prompt == StageOptions().prompt else check_templates((options.prompt,))
