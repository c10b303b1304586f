"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

import pyarrow as pa
import pyarrow.compute as pc

from assets.brought_vectors import brought_vectors
from assets.checks import all_survivors, ids_known, vectors_unit
from assets.encoded_vectors import SampleTexts, encoded_vectors, encoder_of, sample_texts
from assets.stage import Outcome, Work, stage_asset
from espalier.hashing import SimHash
from resources.embedding.texts import text_columns
from resources.encoders import Encoder
from resources.encoders.prompts import check_templates, templates_for
from resources.options import Options
from resources.warehouse import Draft, Table
from resources.warehouse.session import session


@stage_asset("embeddings", kinds={"openvino", "duckdb"}, checks=(ids_known, all_survivors, vectors_unit))
def embeddings(work: Work, raw_dataset: Table, dedup_set: Table) -> Outcome:
    """The survivors' unit vectors and their packed 512-bit SimHash, with the id of the encoder that made them.

    Decoded by a pool of threads, inferred by OpenVINO asynchronously. Content that this encoder has embedded before,
    here or in another dataset, is not embedded again; nor is a text. Samples that are texts and no pictures take the
    encoder's text side. Vectors that the card names (`embeddings`) are read instead, by sample id.
    """
    options = work.options
    encoder = encoder_of(work)
    templates = templates_of(options, encoder, raw_dataset.meta.stats["format"])
    with session(raw=raw_dataset, dedup=dedup_set) as db:
        needed = db.sql(
            f"""SELECT sample_id, raw.sha256, uri, {text_columns(templates[0])}
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    simhash, own = SimHash(), bool(options.embeddings)
    if own:
        found = brought_vectors(work, raw_dataset, needed, simhash)
    else:
        found = encoded_vectors(work, encoder, needed, simhash)
    try:
        beside = (
            SampleTexts(found.texts)
            if found.texts
            else sample_texts(work, encoder, needed, simhash, templates, locked=own)
        )
    except BaseException:
        for piece in found.cleanup:
            piece.discard()
        raise
    texts = beside.texts
    if texts is not None and encoder.joint and not own and found.texts is None:
        texts = texts.scoring(pc.not_equal(needed["uri"], "").to_numpy())
    rows, schema = found.batches, found.schema
    if texts is not None:
        rows, schema = texts.beside(rows, found.have), pa.schema([*schema, *texts.fields()])
    return Outcome(
        Draft(
            pa.RecordBatchReader.from_batches(schema, rows),
            sort="",
            side={"errors": found.failed, **({"texts": texts.table()} if texts else {})},
            stats={
                **found.stats,
                "n_failed": len(found.failed),
                "n_texts": len(texts.texts) if texts else 0,
                "n_scored": texts.n_scored(found.have) if texts else 0,
                **beside.stats,
            },
        ),
        metadata=found.metadata,
        cleanup=(*beside.cleanup, *found.cleanup),
    )


def templates_of(options: Options, encoder: Encoder, format_name: str) -> tuple[str, ...]:
    """Return the templates of labels: the user's, else those of the format; none for a text side of its own space."""
    if not encoder.joint:
        return ("{}",)
    return templates_for(format_name) if options.prompt == Options().prompt else check_templates((options.prompt,))
