"""``embeddings``: one unit vector and its hash for every sample that survived dedup_set."""

from typing import Any

import numpy as np
import pyarrow as pa

from assets.checks import ids_known, ids_unique, vectors_unit
from assets.stage import Outcome, Work, stage_asset
from espalier.errors import EspalierError
from espalier.hashing import SimHash
from resources.blobs import read_bytes
from resources.encoders import load_encoder
from resources.vectors import PART_ROWS, VectorStore
from resources.warehouse import Draft, Table
from resources.warehouse.session import session


@stage_asset("embeddings", kinds={"openvino", "duckdb"}, checks=(ids_unique, ids_known, vectors_unit))
def embeddings(work: Work, raw_dataset: Table, dedup_set: Table) -> Outcome:
    """The survivors' unit vectors and their packed 512-bit SimHash, with the id of the encoder that made them.

    Decoded by a pool of threads, inferred by OpenVINO asynchronously. Content that this encoder has embedded before,
    here or in another dataset, is not embedded again.
    """
    options = work.options
    encoder = load_encoder(
        options.encoder, device=options.device, precision=options.precision, cache_dir=work.home.models
    )
    with session(raw=raw_dataset, dedup=dedup_set) as db:
        needed = db.sql(
            "SELECT sample_id, sha256, uri FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"
        ).to_arrow_table()
    simhash = SimHash()
    store = VectorStore.open(work.store, work.dataset, encoder.id, encoder.dim, simhash.length(encoder.dim) // 8)
    todo = store.missing(needed)
    with work.bar("embedding", len(todo)) as advance:
        errors = _embed(encoder, simhash, store, todo, work.threads, advance)
    if len(errors) == len(needed):
        first = next(iter(errors.values()), "no sample is left")
        raise EspalierError(f"No sample of {work.dataset!r} could be embedded.", f"The first reason: {first}.")
    failed = _errors_table(needed, errors)
    return Outcome(
        Draft(
            pa.RecordBatchReader.from_batches(store.schema(), store.merged(needed)),
            sort="",
            side={"errors": failed},
            stats={
                "encoder": encoder.describe()["model"],
                "encoder_id": encoder.id,
                "dim": encoder.dim,
                "n_embedded": len(todo) - len(errors),
                "n_reused": len(needed) - len(todo),
                "n_failed": len(failed),
            },
        ),
        metadata={f"encoder: {k}": str(v) for k, v in encoder.describe().items()},
        cleanup=(store,),
    )


def _embed(encoder: Any, simhash: SimHash, store: VectorStore, todo: pa.Table, threads: int, advance: Any) -> dict:
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


def _errors_table(needed: pa.Table, errors: dict[str, str]) -> pa.Table:
    import pyarrow.compute as pc

    mask = pc.is_in(needed["sha256"], pa.array(list(errors), pa.string()))
    failed = needed.filter(mask)
    reasons = [errors[sha] for sha in failed["sha256"].to_pylist()]
    return pa.table({"sample_id": failed["sample_id"], "reason": pa.array(reasons, pa.string())})
