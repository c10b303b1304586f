"""How stored tables become the arrays of the algorithms. Rows are in order of sample_id everywhere."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.prune import Clusters, Features, Labels
from espalier.io.formats.read.base import subset_role
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block, session


def labels_of(raw_dataset: Table, rows: Table) -> Labels:
    """Return the labels of the samples in ``rows``."""
    return encode_labels(_of_raw("coalesce(raw.labels, [])", raw_dataset, rows))


def encode_labels(column: pa.ChunkedArray) -> Labels:
    """Turn a list-of-strings column into compressed rows; names sorted, no label twice within a sample."""
    array = column.combine_chunks()
    values = array.flatten().dictionary_encode()
    names = np.array(values.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    codes = np.argsort(order).astype(np.int32)[values.indices.to_numpy()]
    pairs = np.unique(np.stack([pc.list_parent_indices(array).to_numpy(), codes]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(array))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Labels(indptr, pairs[1].astype(np.int32), tuple(names[order]))


def features_for(needs: frozenset[str], tables: Mapping[str, Table]) -> Features:
    """Load what a method needs of the samples that reach pruning (the rows of ``clusters``)."""
    clusters, complexity, embeddings = (tables[name] for name in ("clusters", "cluster_complexity", "embeddings"))
    n = len(clusters)
    columns = {"vectors": "vector", "hashes": "hash", "text_hashes": "text_hash", "clip_scores": "clip_score"}
    loaded: dict[str, np.ndarray] = {}
    if needs & columns.keys():
        kept = tables["semantic_dedup_set"].column("kept")
        have = {field.name for field in next(embeddings.batches(["*"], rows=1)).schema}
        for name in sorted(name for name in needs & columns.keys() if columns[name] in have):
            if name == "clip_scores":
                loaded[name] = embeddings.column("clip_score").astype(np.float32)[kept]
            else:
                loaded[name] = embeddings.matrix(columns[name], rows=kept)
    if "grids" in needs:
        grids = [array_block(chunk) for chunk in _of_raw("raw.grid", tables["raw_dataset"], clusters).chunks]
        if grids and sum(map(len, grids)) == n:  # texts have none
            loaded["grids"] = np.concatenate(grids)
    labels = labels_of(tables["raw_dataset"], clusters) if "labels" in needs else None
    return Features(
        n,
        clusters=Clusters(
            assignment=clusters.column("cluster"),
            distance=clusters.column("distance"),
            size=complexity.column("size"),
            complexity=complexity.column("complexity"),
            centroids=clusters.matrix("centroid", table="centroids"),
            n_neighbors=complexity.meta.params["n_neighbors"],
        )
        if n
        else None,
        labels=labels if labels and labels.names else None,
        **loaded,
    )


def marked(ids: pa.Array, wanted: tuple[str, ...]) -> np.ndarray:
    """Return which of ``ids`` are in ``wanted``: (n,) bool."""
    return pc.is_in(ids, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)


def take_or_null(ids: pa.Array, rows: np.ndarray) -> pa.Array:
    """Return the ids of ``rows``, null where the row is negative."""
    return ids.take(pa.array(rows, mask=rows < 0))


def protected_rows(raw_dataset: Table, rows: Table, protect: tuple[str, ...]) -> np.ndarray:
    """Return which samples of ``rows`` belong to a protected subset, whatever its spelling: (n,) bool."""
    return protected(_of_raw("raw.subset", raw_dataset, rows), protect)


def protected(subset: pa.ChunkedArray, protect: tuple[str, ...]) -> np.ndarray:
    """Return which samples belong to a protected subset, by their subsets, whatever the spelling: (n,) bool."""
    coded = subset.combine_chunks().dictionary_encode()
    roles = np.array([subset_role(name) in protect for name in coded.dictionary.to_pylist()], bool)
    return roles[coded.indices.to_numpy()]


def subsets_of(raw_dataset: Table, rows: Table) -> tuple[np.ndarray, list[str]]:
    """Return the subset of each sample of ``rows`` as a code, (n,) int32, and the subsets' names."""
    coded = _of_raw("raw.subset", raw_dataset, rows).combine_chunks().dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _of_raw(expression: str, raw_dataset: Table, rows: Table) -> pa.ChunkedArray:
    """Return an SQL expression over ``raw`` for each sample of ``rows``, in order of sample_id."""
    with session(raw=raw_dataset, rows=rows) as db:
        query = f"SELECT {expression} FROM rows JOIN raw USING (sample_id) ORDER BY sample_id"
        return db.sql(query).to_arrow_table().column(0)
