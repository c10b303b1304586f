"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.brought_vectors import brought_vectors
from assets.checks import all_survivors, ids_known, ids_unique, vectors_unit
from assets.stage import Outcome, Work, stage_asset
from assets.vectors import Vectors, errors_table
from espalier.errors import EspalierError
from espalier.hashing import SimHash
from resources.blobs import read_bytes
from resources.encoders import EncodedBatch, load_encoder
from resources.encoders.prompts import check_templates, templates_for
from resources.options import Options
from resources.texts import Texts, text_columns
from resources.vectors import PART_ROWS, VectorStore
from resources.warehouse import Draft, Table
from resources.warehouse.session import session
from resources.warehouse.table import array_block

TEXT_ROWS = 1024


@stage_asset("embeddings", kinds={"openvino", "duckdb"}, checks=(ids_unique, ids_known, all_survivors, vectors_unit))
def embeddings(work: Work, raw_dataset: Table, dedup_set: Table) -> Outcome:
    """The survivors' unit vectors and their packed 512-bit SimHash, with the id of the encoder that made them.

    Decoded by a pool of threads, inferred by OpenVINO asynchronously. Content that this encoder has embedded before,
    here or in another dataset, is not embedded again. Samples that are texts and no pictures take the encoder's text
    side. Vectors that the card names (`embeddings`) are read instead, by sample id.
    """
    options = work.options
    encoder = encoder_of(work)
    templates = templates_of(options, encoder, raw_dataset.meta.stats["format"])
    with session(raw=raw_dataset, dedup=dedup_set) as db:
        needed = db.sql(
            f"""SELECT sample_id, raw.sha256, uri, {text_columns(templates[0])}
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    simhash = SimHash()
    if options.embeddings:
        found = brought_vectors(work, raw_dataset, needed, simhash)
    else:
        found = encoded_vectors(work, encoder, needed, simhash)
    try:
        texts = found.texts or Texts.encode(needed, encoder, simhash, templates, scored=not options.embeddings)
    except BaseException:
        for piece in found.cleanup:
            piece.discard()
        raise
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
                "n_scored": int((found.have & texts.scored & (texts.code >= 0)).sum())
                if texts and texts.scored is not None
                else 0,
            },
        ),
        metadata=found.metadata,
        cleanup=found.cleanup,
    )


def encoder_of(work: Work) -> Any:
    """Load the encoder that a dataset's options name."""
    options = work.options
    return load_encoder(
        options.encoder,
        device=options.device,
        precision=options.precision,
        cache_dir=work.home.models,
        max_pixels=options.max_pixels,
    )


def templates_of(options: Options, encoder: Any, format_name: str) -> tuple[str, ...]:
    """Return the templates of labels: the user's, else those of the format; none for a text side of its own space."""
    if not encoder.joint:
        return ("{}",)
    return templates_for(format_name) if options.prompt == Options().prompt else check_templates((options.prompt,))


def encoded_vectors(work: Work, encoder: Any, needed: pa.Table, simhash: SimHash) -> Vectors:
    """Encode what no part and no stored table holds.

    In a dataset of texts only, the vectors are those of the texts. Where there are pictures too, a text without one
    can stand beside them only if the encoder has both in one space; otherwise it is recorded with that reason.
    """
    is_text = pc.equal(needed["uri"], "").to_numpy()
    texts_only = bool(len(needed)) and bool(is_text.all())
    if texts_only and not encoder.has_text:
        raise EspalierError(
            f"{work.dataset!r} holds texts, and the encoder {work.options.encoder} has no text side.",
            "Take builtin, or a model with a text tower.",
        )
    space, dim = (encoder.text_id, encoder.text_dim) if texts_only else (encoder.id, encoder.dim)
    store = VectorStore.open(work.store, work.dataset, space, dim, simhash.length(dim) // 8, work.log.info)
    try:
        errors = {}
        if is_text.any() and not texts_only and not encoder.joint:
            reason = f"it has no picture, and {work.options.encoder} cannot compare texts with pictures"
            errors = dict.fromkeys(needed["sha256"].filter(pa.array(is_text)).to_pylist(), reason)
        todo = store.missing(needed)
        if errors:
            todo = todo.filter(pc.not_equal(todo["uri"], ""))
        n_reused = len(needed) - len(todo) - len(errors)
        with work.bar("embedding", len(todo)) as advance:
            found = embed(encoder, simhash, store, todo, work.threads, advance)
        errors |= found
        have = ~pc.is_in(needed["sha256"], pa.array(list(errors), pa.string())).to_numpy()
        if not have.any():
            first = next(iter(errors.values()), "no sample is left")
            raise EspalierError(f"No sample of {work.dataset!r} could be embedded.", f"The first reason: {first}.")
        texts = None
        if texts_only:
            block = np.concatenate([array_block(batch["vector"]) for batch in store.merged(needed)])
            texts = Texts.of_vectors(needed["text"], block, simhash)
    except BaseException:
        store.discard()
        raise
    about = encoder.describe()
    return Vectors(
        batches=store.merged(needed),
        schema=store.schema(),
        have=have,
        failed=errors_table(
            needed, ~have, [errors[sha] for sha in needed["sha256"].filter(pa.array(~have)).to_pylist()]
        ),
        stats={
            "encoder": about["model"],
            "encoder_id": space,
            "dim": dim,
            "vectors_of": "texts" if texts_only else "pictures",
            "n_embedded": len(todo) - len(found),
            "n_reused": n_reused,
        },
        metadata={f"encoder: {k}": str(v) for k, v in about.items()},
        texts=texts,
        cleanup=(store,),
    )


def embed(encoder: Any, simhash: SimHash, store: VectorStore, todo: pa.Table, threads: int, advance: Any) -> dict:
    """Embed the rows of ``todo`` part by part; return the reason of each content that could not be."""
    errors: dict[str, str] = {}
    rows: list[np.ndarray] = []
    vectors: list[np.ndarray] = []

    def flush() -> None:
        if rows:
            block = np.concatenate(vectors)
            store.add(todo["sha256"].take(pa.array(np.concatenate(rows))).combine_chunks(), block, simhash(block))
            rows.clear()
            vectors.clear()

    for batch in _encoded(encoder, todo, threads, advance):
        rows.append(batch.rows)
        vectors.append(batch.vectors)
        errors |= {todo["sha256"][int(row)].as_py(): reason for row, reason in batch.errors}
        if sum(map(len, rows)) >= PART_ROWS:
            flush()
    flush()
    return errors


def _encoded(encoder: Any, todo: pa.Table, threads: int, advance: Any) -> Iterator[EncodedBatch]:
    """Encode pictures by the image side, and rows without one by the text side."""
    is_text = pc.equal(todo["uri"], "").to_numpy()
    pictures, texts = np.flatnonzero(~is_text), np.flatnonzero(is_text)
    if len(pictures):
        items = zip(pictures.tolist(), todo["uri"].take(pa.array(pictures)).to_pylist(), strict=True)
        yield from encoder.encode_images(items, read_bytes, threads=threads, progress=advance)
    for start in range(0, len(texts), TEXT_ROWS):
        block = texts[start : start + TEXT_ROWS]
        yield EncodedBatch(block, encoder.encode_text(todo["text"].take(pa.array(block)).to_pylist()), [])
        advance(len(block))
