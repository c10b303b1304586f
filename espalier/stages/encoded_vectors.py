"""The vectors of ``embeddings`` that an encoder makes, of pictures and of texts; each content once, part by part."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.core.hashing import SimHash
from espalier.io.encoders import EncodedBatch, Encoder, load_encoder
from espalier.io.files.blobs import read_bytes
from espalier.io.progress import Advance
from espalier.io.vectors.store import PART_ROWS, VectorStore
from espalier.io.vectors.texts import Texts, encode_texts, texts_id
from espalier.io.warehouse.spool import array_aside
from espalier.io.warehouse.table import array_block, session
from espalier.stages.context import StageContext
from espalier.stages.vectors import Vectors, errors_table

TEXT_ROWS = 1024


def encoder_of(context: StageContext) -> Encoder:
    """Load the encoder that a dataset's options name."""
    options = context.options
    return load_encoder(
        options.encoder,
        device=options.device,
        precision=options.precision,
        cache_dir=context.home.models,
        max_pixels=options.max_pixels,
    )


def encoded_vectors(context: StageContext, encoder: Encoder, needed: pa.Table, simhash: SimHash) -> Vectors:
    """Encode what no part and no stored table holds; ``needed`` has a row a survivor: sample_id, sha256, uri, text.

    In a dataset of texts only, the vectors are those of the texts. Where there are pictures too, a text without one can
    stand beside them only if the encoder has both in one space; otherwise it is recorded with that reason.
    """
    is_text = pc.equal(needed["uri"], "").to_numpy()
    texts_only = bool(len(needed)) and bool(is_text.all())
    if texts_only and not encoder.has_text:
        raise EspalierError(
            f"{context.dataset!r} holds texts, and the encoder {context.options.encoder} has no text side.",
            "Take builtin, or a model with a text tower.",
        )
    space, dim = (encoder.text_id, encoder.text_dim) if texts_only else (encoder.id, encoder.dim)
    warehouse, n_bytes = context.home.store(), simhash.length(dim) // 8
    store = VectorStore.open(warehouse, context.dataset, space, dim, n_bytes, context.log.info)
    try:
        errors = {}
        if is_text.any() and not texts_only and not encoder.joint:
            reason = f"it has no picture, and {context.options.encoder} cannot compare texts with pictures"
            errors = dict.fromkeys(needed["sha256"].filter(pa.array(is_text)).to_pylist(), reason)
        todo = store.missing(needed)
        if errors:
            todo = todo.filter(pc.not_equal(todo["uri"], ""))
        n_reused = len(needed) - len(todo) - len(errors)
        with context.bar("embedding", len(todo)) as advance:
            failed_now = embed(encoder, simhash, store, todo, context.threads, advance)
        errors |= failed_now
        have = ~pc.is_in(needed["sha256"], pa.array(list(errors), pa.string())).to_numpy()
        if not have.any():
            first = next(iter(errors.values()), "no sample is left")
            raise EspalierError(f"No sample of {context.dataset!r} could be embedded.", f"The first reason: {first}.")
        told = needed.select(["text", "sha256"]).filter(pa.array(have))
        texts = _texts_of(store, told, needed["text"]) if texts_only else None
    except BaseException:
        store.discard()
        raise
    about, failed = encoder.describe(), needed["sha256"].filter(pa.array(~have)).to_pylist()
    return Vectors(
        batches=store.merged(needed),
        schema=store.schema(),
        have=have,
        failed=errors_table(needed, ~have, [errors[sha] for sha in failed]),
        stats={
            "encoder": about["model"],
            "encoder_id": space,
            "dim": dim,
            "vectors_of": "texts" if texts_only else "pictures",
            "n_embedded": len(todo) - len(failed_now),
            "n_reused": n_reused,
            **({"texts_id": space} if texts_only else {}),
        },
        metadata={f"encoder: {k}": str(v) for k, v in about.items()},
        texts=texts,
        cleanup=(store,),
    )


@dataclass(frozen=True)
class SampleTexts:
    """The texts beside samples, None where there are none, with counts and what may go once they are stored."""

    texts: Texts | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    cleanup: tuple[VectorStore, ...] = ()


def sample_texts(
    context: StageContext,
    encoder: Encoder,
    needed: pa.Table,
    simhash: SimHash,
    templates: tuple[str, ...],
    *,
    locked: bool,
) -> SampleTexts:
    """Encode the distinct texts that no part and no stored table holds; ``templates`` are those of labels.

    ``needed`` has a row a survivor: text and words, as ``espalier.io.vectors.texts.text_columns`` gives them.
    ``locked`` takes the lock of the dataset's parts; without it the pictures' store holds it, which then also cleans
    up.
    """
    with session(needed=needed) as db:
        distinct = db.sql(
            """SELECT text AS sample_id, sha256(text) AS sha256, text, min(words) AS words
               FROM needed WHERE text IS NOT NULL GROUP BY text ORDER BY text"""
        ).to_arrow_table()
    if not encoder.has_text or not len(distinct):
        return SampleTexts()
    space, dim = texts_id(encoder, templates), encoder.text_dim
    store = VectorStore.open(
        context.home.store(),
        context.dataset,
        space,
        dim,
        simhash.length(dim) // 8,
        context.log.info,
        source="texts",
        locked=locked,
    )
    try:
        todo = store.missing(distinct)
        with context.bar("embedding texts", len(todo)) as advance:
            batches = _encoded_texts(encoder, todo, np.arange(len(todo)), templates, advance)
            errors = _write_parts(batches, simhash, store, todo)
        known = distinct.filter(pc.invert(pc.is_in(distinct["sha256"], pa.array(list(errors), pa.string()))))
        texts = _texts_of(store, known, needed["text"]) if len(known) else None
    except BaseException:
        store.discard()
        raise
    for reason in list(errors.values())[:1]:
        context.log.warning(f"{len(errors)} texts have no vector; the first reason: {reason}")
    counts = {
        "texts_id": space,
        "n_texts_embedded": len(todo) - len(errors),
        "n_texts_reused": len(distinct) - len(todo),
        "n_texts_failed": len(errors),
    }
    return SampleTexts(texts, counts, (store,) if locked else ())


def embed(
    encoder: Encoder, simhash: SimHash, store: VectorStore, todo: pa.Table, threads: int, advance: Advance
) -> dict:
    """Embed the rows of ``todo`` part by part; return the reason of each content that could not be."""
    return _write_parts(_encoded(encoder, todo, threads, advance), simhash, store, todo)


def _write_parts(batches: Iterator[EncodedBatch], simhash: SimHash, store: VectorStore, todo: pa.Table) -> dict:
    """Write vectors in parts of at least ``PART_ROWS``; return the reason of each content that has none."""
    errors: dict[str, str] = {}
    rows: list[np.ndarray] = []
    vectors: list[np.ndarray] = []

    def flush() -> None:
        if rows:
            block = np.concatenate(vectors)
            store.add(todo["sha256"].take(pa.array(np.concatenate(rows))).combine_chunks(), block, simhash(block))
            rows.clear()
            vectors.clear()

    for batch in batches:
        if len(batch.rows):
            rows.append(batch.rows)
            vectors.append(batch.vectors)
        errors |= {todo["sha256"][int(row)].as_py(): reason for row, reason in batch.errors}
        if sum(map(len, rows)) >= PART_ROWS:
            flush()
    flush()
    return errors


def _encoded(encoder: Encoder, todo: pa.Table, threads: int, advance: Advance) -> Iterator[EncodedBatch]:
    """Encode pictures by the image side, and rows without one by the text side."""
    is_text = pc.equal(todo["uri"], "").to_numpy()
    pictures = np.flatnonzero(~is_text)
    if len(pictures):
        items = zip(pictures.tolist(), todo["uri"].take(pa.array(pictures)).to_pylist(), strict=True)
        yield from encoder.encode_images(items, read_bytes, threads=threads, progress=advance)
    yield from _encoded_texts(encoder, todo, np.flatnonzero(is_text), ("{}",), advance)


def _encoded_texts(
    encoder: Encoder, todo: pa.Table, rows: np.ndarray, templates: tuple[str, ...], advance: Advance
) -> Iterator[EncodedBatch]:
    for start in range(0, len(rows), TEXT_ROWS):
        block = rows[start : start + TEXT_ROWS]
        part = todo.select(["text", "words"]).take(pa.array(block)).to_pydict()
        yield from _one_by_one_if_need_be(encoder, block, part["text"], part["words"], templates)
        advance(len(block))


def _one_by_one_if_need_be(
    encoder: Encoder, rows: np.ndarray, texts: list[str], words: list[str | None], templates: tuple[str, ...]
) -> Iterator[EncodedBatch]:
    """Encode texts together, and in halves where one of them has no vector, so that it alone is an error."""
    try:
        yield EncodedBatch(rows, encode_texts(encoder, texts, words, templates), [])
        return
    except EspalierError as error:
        if len(rows) == 1:
            yield EncodedBatch(rows[:0], np.empty((0, encoder.text_dim), np.float32), [(int(rows[0]), error.what)])
            return
    half = len(rows) // 2
    for part in (slice(0, half), slice(half, None)):
        yield from _one_by_one_if_need_be(encoder, rows[part], texts[part], words[part], templates)


def _texts_of(store: VectorStore, rows: pa.Table, column: pa.ChunkedArray) -> Texts:
    """Read the vectors of texts back: ``rows`` has text and sha256; ``column`` is each sample's text."""
    distinct = rows.select(["text", "sha256"]).group_by("text").aggregate([("sha256", "min")])
    named = pa.table({"sample_id": distinct["text"], "sha256": distinct["sha256_min"]})
    vectors = array_aside((len(named), store.dim), np.float32, store.folder)
    hashes = np.empty((len(named), store.hash_bytes), np.uint8)
    texts, start = [], 0
    for batch in store.merged(named):
        stop = start + len(batch)
        vectors[start:stop], hashes[start:stop] = array_block(batch["vector"]), array_block(batch["hash"])
        texts.append(batch["sample_id"])
        start = stop
    known = pa.chunked_array(texts, pa.string()).combine_chunks()
    return Texts.of_samples(column, known, vectors[:start], hashes[:start])
