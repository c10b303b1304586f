"""How stored tables become what subsets are measured on: training rows, test rows, and all files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.core.evaluate import Evaluation, Protocol, train_and_test
from espalier.core.evaluate.protocol import EVALUATION
from espalier.core.hashing import SimHash
from espalier.core.prune import Labels
from espalier.io.formats.read.base import subset_role
from espalier.io.vectors.store import VectorStore, taken_lock
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block, session
from espalier.stages.context import StageContext
from espalier.stages.encoded_vectors import embed, encoder_of
from espalier.stages.loading import encode_labels, labels_of, subsets_of
from espalier.stages.precomputed_vectors import gathered

RAW = """
SELECT r.sample_id, r.subset, r.sha256, r.uri, r.caption AS text, NULL::VARCHAR AS words,
  coalesce(r.labels, []) AS labels,
  coalesce(s.duplicate_of, o.original) AS original
FROM raw_dataset r
JOIN (SELECT sample_id, CASE WHEN duplicate_of IS NULL OR of_dataset IS NOT NULL THEN sample_id ELSE duplicate_of END
        AS original FROM dedup_set) o USING (sample_id)
LEFT JOIN semantic_dedup_set s ON s.sample_id = o.original
ORDER BY r.sample_id
"""


@dataclass(frozen=True)
class Training:
    """The training samples of a dataset that reach pruning, and what subsets of them are measured on.

    ``who`` is over the rows of ``embeddings``; ``inside``, bool, says which rows of ``clusters`` are training samples;
    ``subsets`` are theirs, (n_train,) str; ``names`` are those of the labels.
    """

    evaluation: Evaluation
    who: Protocol
    inside: np.ndarray
    subsets: np.ndarray
    names: tuple[str, ...]


def training(
    context: StageContext, raw_dataset: Table, embeddings: Table, semantic_dedup_set: Table, clusters: Table
) -> Training:
    """Load the training rows' vectors, labels and clusters, and the test rows beside them."""
    codes, names = subsets_of(raw_dataset, embeddings)
    labels: Labels | None = labels_of(raw_dataset, embeddings)
    labels = labels if labels and labels.names else None
    reach = semantic_dedup_set.column("kept")
    roles = np.array([subset_role(name) for name in names])[codes]
    most = context.options.quality_rows or None
    who = train_and_test(roles, reach, labels, seed=context.options.seed, most=most)
    inside = who.train[reach]
    tested = who.test.any() and labels is not None
    evaluation = Evaluation(
        embeddings.matrix("vector", rows=who.train),
        _take(labels, who.train),
        clusters.column("cluster")[inside],
        embeddings.matrix("vector", rows=who.test) if tested else None,
        _take(labels, who.test) if tested else None,
        max_rows=most,
    )
    subsets = np.array(names, dtype=object)[codes[who.train]]
    return Training(evaluation, who, inside, subsets, labels.names if labels else ())


def all_files(context: StageContext, tables: Mapping[str, Table], known: Training) -> Evaluation:
    """Make what is measured of all readable training files, duplicates among them, encoded where they have no vector.

    Copies of what is tested on are left out: they would be trained on. The vectors made here are kept as parts
    beside the comparison, so that they are made once.
    """
    with session(**{name: tables[name] for name in ("raw_dataset", "dedup_set", "semantic_dedup_set")}) as db:
        rows = db.sql(RAW).to_arrow_table()
    ids = tables["embeddings"].arrow(["sample_id"])["sample_id"].combine_chunks()
    tested = ids.filter(pa.array(known.who.test))
    roles = np.array([subset_role(name) for name in rows["subset"].to_pylist()])
    trains = np.ones(len(rows), bool) if np.isin(roles, EVALUATION).all() else ~np.isin(roles, EVALUATION)
    trains &= ~pc.is_in(rows["original"], tested).to_numpy() & ~pc.is_in(rows["sample_id"], tested).to_numpy()
    have, vectors = _vectors(context, tables, rows.filter(pa.array(trains)))
    labels = encode_labels(rows["labels"])
    train_rows = pc.is_in(rows["sample_id"], have).to_numpy()
    copied = rows["original"].filter(pa.array(train_rows))
    test_rows = pc.is_in(rows["sample_id"], tested).to_numpy()
    return Evaluation(
        vectors,
        _take(labels, train_rows) if labels.names else None,
        test_vectors=known.evaluation.test_vectors,
        test_labels=_take(labels, test_rows) if known.evaluation.test_vectors is not None else None,
        original=pc.index_in(copied, have).fill_null(-1).to_numpy(),
        max_rows=known.evaluation.max_rows,
    )


def _vectors(context: StageContext, tables: Mapping[str, Table], needed: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Return the ids (in order) and vectors of the files that can be embedded, or that have a vector brought."""
    stats = tables["embeddings"].meta.stats
    if context.options.embeddings:
        _, precomputed, vectors = gathered(context, tables["raw_dataset"], needed)
        _same_vectors(context, precomputed.id, stats)
        return needed["sample_id"].filter(pa.array(vectors.have)).combine_chunks(), vectors.vectors
    encoder = encoder_of(context)
    _same_vectors(context, encoder.text_id if stats.get("vectors_of") == "texts" else encoder.id, stats)
    if stats.get("vectors_of") != "texts" and not encoder.joint:
        needed = needed.filter(pc.not_equal(needed["uri"], ""))  # texts have no vector beside pictures
    simhash, dim = SimHash(), stats["dim"]
    parts = context.home.store().parts("comparison", context.dataset)
    lock = taken_lock(parts, context.log.info)
    store = VectorStore(parts, stats["encoder_id"], dim, simhash.length(dim) // 8, [tables["embeddings"]], lock)
    try:
        todo = store.missing(needed)
        if len(todo):
            with context.bar("embedding duplicates", len(todo)) as advance:
                embed(encoder, simhash, store, todo, context.threads, advance)
        batches = list(store.merged(needed))
    finally:
        store.discard()
    return (
        pa.chunked_array([b.column("sample_id") for b in batches], pa.string()).combine_chunks(),
        np.concatenate([array_block(b.column("vector")) for b in batches]),
    )


def _same_vectors(context: StageContext, now: str, stats: Mapping[str, Any]) -> None:
    if now != stats["encoder_id"]:
        raise EspalierError(
            f"The embeddings of {context.dataset!r} were made by another encoder.",
            f"Run: espalier prune {context.dataset}",
        )


def _take(labels: Labels | None, mask: np.ndarray) -> Labels | None:
    return None if labels is None else labels.take(np.flatnonzero(mask))
