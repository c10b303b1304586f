"""How stored tables become the arrays of the algorithms. Rows are in order of sample_id everywhere."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.prune import Clusters, Features, Labels
from espalier.io.formats.read.base import subset_role
from espalier.io.warehouse import Table
from espalier.io.warehouse.session import session
from espalier.io.warehouse.table import array_block


def kept_matrix(table: Table, column: str, kept: np.ndarray) -> np.ndarray:
    """Return the rows of an array column where ``kept`` is True: (kept.sum(), width), filled block by block."""
    out, start, row = None, 0, 0
    for batch in table.batches([column]):
        block = array_block(batch.column(0))[kept[row : row + len(batch)]]
        row += len(batch)
        if out is None:
            out = np.empty((int(kept.sum()), block.shape[1]), block.dtype)
        out[start : start + len(block)] = block
        start += len(block)
    return np.empty((0, 0), np.float32) if out is None else out


def labels_of(raw_dataset: Table, rows: Table) -> Labels:
    """Return the labels of the samples in ``rows``."""
    with session(raw=raw_dataset, rows=rows) as db:
        found = db.sql(
            "SELECT coalesce(raw.labels, []) AS labels FROM rows JOIN raw USING (sample_id) ORDER BY sample_id"
        ).to_arrow_table()
    return encode_labels(found.column("labels"))


def encode_labels(column: pa.ChunkedArray) -> Labels:
    """Turn a list-of-strings column into compressed rows; names sorted, no label twice within a sample."""
    array = column.combine_chunks()
    values = array.flatten().dictionary_encode()
    names = np.array(values.dictionary.to_pylist() or [], dtype=object)
    order = np.argsort(names, kind="stable") if len(names) else np.empty(0, np.int64)
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(names), dtype=np.int32)
    lengths = np.diff(array.offsets.to_numpy()) if len(array) else np.empty(0, np.int64)
    rows = np.repeat(np.arange(len(array)), lengths)
    codes = place[values.indices.to_numpy()] if len(names) else np.empty(0, np.int32)
    pairs = np.unique(np.stack([rows, codes]), axis=1) if len(rows) else np.empty((2, 0), np.int64)
    counts = np.bincount(pairs[0], minlength=len(array)) if len(array) else np.empty(0, np.int64)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Labels(indptr, pairs[1].astype(np.int32), tuple(names[order]))


def features_for(needs: frozenset[str], tables: Mapping[str, Table]) -> Features:
    """Load what a method needs of the samples that reach pruning (the rows of ``clusters``)."""
    clusters = tables["clusters"]
    n = len(clusters)
    wanted = {"vectors": "vector", "hashes": "hash", "text_hashes": "text_hash"}
    loaded: dict[str, np.ndarray] = {}
    if needs & wanted.keys():
        kept = tables["semantic_dedup_set"].column("kept")
        have = _columns(tables["embeddings"])
        for name in sorted(needs & wanted.keys()):
            if wanted[name] in have:
                loaded[name] = kept_matrix(tables["embeddings"], wanted[name], kept)
    if "clip_scores" in needs and "clip_score" in _columns(tables["embeddings"]):
        scores = tables["embeddings"].arrow(["clip_score"])["clip_score"].to_numpy()
        loaded["clip_scores"] = scores.astype(np.float32)[tables["semantic_dedup_set"].column("kept")]
    if "grids" in needs:
        with session(raw=tables["raw_dataset"], rows=clusters) as db:
            found = db.sql("SELECT raw.grid FROM rows JOIN raw USING (sample_id) ORDER BY sample_id")
            grids = [array_block(b.column(0)) for b in found.to_arrow_reader(16384)]
        if grids and sum(map(len, grids)) == n:  # texts have none
            loaded["grids"] = np.concatenate(grids)
    labels = None
    if "labels" in needs:
        labels = labels_of(tables["raw_dataset"], clusters)
        labels = labels if labels.names else None
    return Features(
        n,
        clusters=_clusters(clusters, tables["cluster_complexity"]) if n else None,
        labels=labels,
        **loaded,
    )


def _columns(table: Table) -> set[str]:
    return {field.name for field in next(table.batches(["*"], rows=1)).schema}


def _clusters(clusters: Table, complexity: Table) -> Clusters:
    return Clusters(
        assignment=clusters.column("cluster"),
        distance=clusters.column("distance"),
        size=complexity.column("size"),
        complexity=complexity.column("complexity"),
        centroids=clusters.matrix("centroid", table="centroids"),
        n_neighbors=complexity.meta.params["n_neighbors"],
    )


def marked(ids: pa.Array, wanted: tuple[str, ...]) -> np.ndarray:
    """Return which of ``ids`` are in ``wanted``: (n,) bool."""
    return pc.is_in(ids, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)


def take_or_null(ids: pa.Array, rows: np.ndarray) -> pa.Array:
    """Return the ids of ``rows``, null where the row is negative."""
    return ids.take(pa.array(rows, mask=rows < 0))


def protected_rows(raw_dataset: Table, rows: Table, protect: tuple[str, ...]) -> np.ndarray:
    """Return which samples of ``rows`` belong to a protected subset, whatever its spelling: (n,) bool."""
    codes, names = subsets_of(raw_dataset, rows)
    return np.array([subset_role(name) in protect for name in names], bool)[codes]


def subsets_of(raw_dataset: Table, rows: Table) -> tuple[np.ndarray, list[str]]:
    """Return the subset of each sample of ``rows`` as a code, (n,) int32, and the subsets' names."""
    with session(raw=raw_dataset, rows=rows) as db:
        found = db.sql("SELECT raw.subset FROM rows JOIN raw USING (sample_id) ORDER BY sample_id").to_arrow_table()
    coded = found["subset"].combine_chunks().dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()
