"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.checks import all_survivors, ids_known, ids_unique, vectors_unit
from assets.stage import Outcome, Work, stage_asset
from espalier.errors import EspalierError
from espalier.hashing import SimHash
from resources.blobs import read_bytes
from resources.encoders import load_encoder
from resources.texts import Texts, text_of
from resources.vectors import PART_ROWS, VectorStore
from resources.warehouse import Draft, Table
from resources.warehouse.session import session


@stage_asset("embeddings", kinds={"openvino", "duckdb"}, checks=(ids_unique, ids_known, all_survivors, vectors_unit))
def embeddings(work: Work, raw_dataset: Table, dedup_set: Table) -> Outcome:
    """The survivors' unit vectors and their packed 512-bit SimHash, with the id of the encoder that made them.

    Decoded by a pool of threads, inferred by OpenVINO asynchronously. Content that this encoder has embedded before,
    here or in another dataset, is not embedded again.
    """
    options = work.options
    encoder = load_encoder(
        options.encoder,
        device=options.device,
        precision=options.precision,
        cache_dir=work.home.models,
        max_pixels=options.max_pixels,
    )
    with session(raw=raw_dataset, dedup=dedup_set) as db:
        text = text_of(options.prompt if encoder.joint else "{}")
        needed = db.sql(
            f"""SELECT sample_id, raw.sha256, uri, {text} AS text
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    simhash = SimHash()
    texts = Texts.encode(needed["text"], encoder, simhash)
    store = VectorStore.open(
        work.store, work.dataset, encoder.id, encoder.dim, simhash.length(encoder.dim) // 8, work.log.info
    )
    try:
        todo = store.missing(needed)
        with work.bar("embedding", len(todo)) as advance:
            errors = embed(encoder, simhash, store, todo, work.threads, advance)
        failed = _errors_table(needed, errors)
        if len(failed) == len(needed):
            first = next(iter(errors.values()), "no sample is left")
            raise EspalierError(f"No sample of {work.dataset!r} could be embedded.", f"The first reason: {first}.")
    except BaseException:
        store.discard()
        raise
    rows, side = _with_texts(store, needed, errors, texts)
    return Outcome(
        Draft(
            rows,
            sort="",
            side={"errors": failed, **side},
            stats={
                "encoder": encoder.describe()["model"],
                "encoder_id": encoder.id,
                "dim": encoder.dim,
                "n_embedded": len(todo) - len(errors),
                "n_reused": len(needed) - len(todo),
                "n_failed": len(failed),
                "n_texts": len(texts.texts) if texts else 0,
            },
        ),
        metadata={f"encoder: {k}": str(v) for k, v in encoder.describe().items()},
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

    items = enumerate(todo["uri"].to_pylist())
    for batch in encoder.encode_images(items, read_bytes, threads=threads, progress=advance):
        rows.append(batch.rows)
        vectors.append(batch.vectors)
        errors |= {todo["sha256"][int(row)].as_py(): reason for row, reason in batch.errors}
        if sum(map(len, rows)) >= PART_ROWS:
            flush()
    flush()
    return errors


def _with_texts(
    store: VectorStore, needed: pa.Table, errors: dict[str, str], texts: Texts | None
) -> tuple[pa.RecordBatchReader, dict[str, pa.Table]]:
    """Return the rows to store, with the text columns where there is text, and the table of distinct texts."""
    merged, schema = store.merged(needed), store.schema()
    if texts is None:
        return pa.RecordBatchReader.from_batches(schema, merged), {}
    kept = ~pc.is_in(needed["sha256"], pa.array(list(errors), pa.string())).to_numpy()
    for field in texts.fields():
        schema = schema.append(field)
    return pa.RecordBatchReader.from_batches(schema, texts.beside(merged, kept)), {"texts": texts.table()}


def _errors_table(needed: pa.Table, errors: dict[str, str]) -> pa.Table:
    mask = pc.is_in(needed["sha256"], pa.array(list(errors), pa.string()))
    failed = needed.filter(mask)
    reasons = [errors[sha] for sha in failed["sha256"].to_pylist()]
    return pa.table({"sample_id": failed["sample_id"], "reason": pa.array(reasons, pa.string())})
