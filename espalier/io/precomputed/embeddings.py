"""Embeddings that the user brings, aligned with a dataset by id.

Here live the alignment, its report and the reading of the vectors that are wanted. Not here: the layouts of files
(``espalier.io.precomputed.shards``) and storing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.io.encoders.runner import EncodedBatch
from espalier.io.precomputed.shards import Shard, find_shards

UID = "uid"
_SHOWN = 5


@dataclass(frozen=True)
class Alignment:
    """Which vector belongs to which sample.

    Attributes
    ----------
    rows : ndarray of shape (n_vectors,), int64
        For each vector, in the order of the shards, the row of its sample; -1 where it belongs to none.
    n_samples : int
    missing : ndarray of int64
        Rows of the samples that have no vector.
    n_extra, n_repeated : int
        Vectors whose id no sample has, and those whose id an earlier vector has.
    extra : tuple of str
        The first of the ids that no sample has.
    column : str
        The column that the ids are in, empty where there is but one.
    """

    rows: np.ndarray
    n_samples: int
    missing: np.ndarray
    n_extra: int
    n_repeated: int
    extra: tuple[str, ...]
    column: str

    def describe(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {
            "vectors": len(self.rows),
            "matched": int((self.rows >= 0).sum()),
            "samples_without_vector": len(self.missing),
            "vectors_without_sample": self.n_extra,
            "repeated_ids": self.n_repeated,
            "first_without_sample": list(self.extra),
            "id_column": self.column,
        }


@dataclass(frozen=True)
class OwnEmbeddings:
    """Vectors in files, of one dimension.

    Attributes
    ----------
    path : Path
    shards : tuple of Shard
    dim : int
    counts : tuple of int
        Vectors a shard.
    """

    path: Path
    shards: tuple[Shard, ...]
    dim: int
    counts: tuple[int, ...]

    @classmethod
    def open(cls, path: Path | str, array: str | None = None) -> "OwnEmbeddings":
        """Find the files and check their shapes.

        Parameters
        ----------
        path : Path
            See ``espalier.io.precomputed.shards`` for the layouts.
        array : str, optional
            Name of the array or column of vectors.

        Raises
        ------
        EspalierError
            When there are none or the dimensions differ.
        """
        shards = tuple(find_shards(Path(path), array))
        shapes = [shard.shape for shard in shards]
        dims = {dim: shard.vectors for (n, dim), shard in zip(shapes, shards, strict=True) if n}
        if not dims:
            raise EspalierError(f"{path} holds no vectors.", "Check the files.")
        if len(dims) > 1:
            told = ", ".join(f"{dim} in {file.name}" for dim, file in dims.items())
            raise EspalierError(f"The vectors of {path} differ in dimension: {told}.", "Bring those of one encoder.")
        return cls(Path(path), shards, next(iter(dims)), tuple(n for n, _ in shapes))

    @cached_property
    def id(self) -> str:
        """Short hex content hash of all files, in the place of an encoder's id."""
        whole = hashlib.sha256()
        for shard in self.shards:
            for file in dict.fromkeys((shard.vectors, shard.ids)):
                with file.open("rb") as stream:
                    whole.update(hashlib.file_digest(stream, "sha256").digest())
            whole.update(shard.array.encode() + b"\n")
        return whole.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Tell where the vectors come from, as plain values."""
        arrays = sorted({shard.array for shard in self.shards} - {""})
        return {
            "id": self.id,
            "model": f"own embeddings from {self.path}",
            "dim": self.dim,
            "vectors": sum(self.counts),
            "files": len(self.shards),
            "array": ", ".join(arrays),
        }

    def align(
        self, sample_ids: pa.Array | list[str], column: str | None = None, uids: pa.Array | None = None
    ) -> Alignment:
        """Find the sample of each vector, reading ids only.

        Parameters
        ----------
        sample_ids : array of str
            Of all samples of the dataset, unique.
        column : str, optional
            Where the ids are in tables; by default the known column in which most samples are found.
        uids : array of str, optional
            The samples' uids, which a column ``uid`` may hold in the place of ids. Of two samples with one uid the
            first has the vector.

        Raises
        ------
        EspalierError
            When a file has more or fewer ids than vectors, or no id is known.
        """
        samples = (
            sample_ids if isinstance(sample_ids, pa.Array | pa.ChunkedArray) else pa.array(sample_ids, pa.string())
        )
        found: dict[str, list[pa.ChunkedArray]] = {}
        for shard, count in zip(self.shards, self.counts, strict=True):
            for name, ids in shard.id_columns(column).items():
                if len(ids) != count:
                    raise EspalierError(
                        f"{shard.vectors.name} holds {count} vectors, {shard.ids.name} {len(ids)} ids.",
                        "One id a vector is needed, in the same order.",
                    )
                found.setdefault(name, []).extend(ids.chunks)
        whole = {name: pa.chunked_array(chunks, pa.string()) for name, chunks in found.items()}
        whole = {name: ids for name, ids in whole.items() if len(ids) == sum(self.counts)}
        rows = {name: pc.index_in(ids, value_set=samples) for name, ids in whole.items()}
        if uids is not None and UID in whole:
            by_uid = pc.index_in(whole[UID], value_set=uids, skip_nulls=True)
            rows[UID] = min(rows[UID], by_uid, key=lambda found: found.null_count)
        best = min(rows, key=lambda name: rows[name].null_count, default=None)
        if best is None or rows[best].null_count == len(rows[best]):
            theirs = ", ".join(sorted({repr(ids[0].as_py()) for ids in whole.values() if len(ids)}))
            ours = repr(samples[0].as_py()) if len(samples) else "none"
            raise EspalierError(
                f"No id of {self.path} is one of a sample (theirs: {theirs or 'none'}; a sample's: {ours}).",
                "Name the column of the ids, or write them as the samples' ids.",
            )
        return _alignment(whole[best], rows[best], len(samples), best)

    def read(self, alignment: Alignment, wanted: np.ndarray | None = None) -> Iterator[EncodedBatch]:
        """Read the vectors of samples, bring them to unit length, and refuse those that have no direction by row.

        Parameters
        ----------
        alignment : Alignment
        wanted : ndarray of shape (n_samples,), bool, optional
            Samples whose vectors are needed; all by default.

        Yields
        ------
        EncodedBatch
            ``rows`` are those of samples, in the order of the files.
        """
        start = 0
        for shard, count in zip(self.shards, self.counts, strict=True):
            first, start = start, start + count
            at = first
            for block in shard.blocks():
                rows = alignment.rows[at : at + len(block)]
                taken = rows >= 0
                if wanted is not None:
                    taken = taken & wanted[rows]
                if taken.any():
                    places = np.flatnonzero(taken) + (at - first)
                    yield _batch(rows[taken], block[taken], self.dim, places, shard.vectors.name)
                at += len(block)


def _alignment(ids: pa.ChunkedArray, found: pa.ChunkedArray, n_samples: int, column: str) -> Alignment:
    rows = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    known = np.flatnonzero(rows >= 0)
    first = np.zeros(len(rows), dtype=bool)
    _, at = np.unique(rows[known], return_index=True)
    first[known[at]] = True
    strangers = np.flatnonzero(rows < 0)
    repeated = int(len(known) - first.sum())
    rows = np.where(first, rows, -1)
    has = np.zeros(n_samples, dtype=bool)
    has[rows[first]] = True
    shown = tuple(str(ids[int(place)].as_py()) for place in strangers[:_SHOWN])
    return Alignment(rows, n_samples, np.flatnonzero(~has), len(strangers), repeated, shown, column)


def _batch(rows: np.ndarray, block: np.ndarray, dim: int, places: np.ndarray, file: str) -> EncodedBatch:
    # A block of nothing but missing lists has no width of its own.
    exact = block.astype(np.float64) if block.shape[1] else np.full((len(rows), dim), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt((exact * exact).sum(axis=1))
    finite = np.isfinite(lengths)
    usable = finite & (lengths > 0)
    errors = [
        (int(rows[bad]), f"its vector, row {places[bad]} of {file}, is {'zero' if finite[bad] else 'not finite'}")
        for bad in np.flatnonzero(~usable)
    ]
    unit = (exact[usable] / lengths[usable, None]).astype(np.float32)
    return EncodedBatch(rows[usable], unit, errors)
