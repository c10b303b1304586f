"""Embeddings that a card names in the place of an encoder: where they lie, and their vectors as samples are.

A spec is a path, or ``PATH#array=NAME&ids=COLUMN`` where a file has several arrays or columns of ids; in a card it may
be a mapping with the keys ``path``, ``array`` and ``ids``. Not here: the layouts of files
(``espalier.io.precomputed.shards``) and whose vector is whose (``espalier.io.precomputed.alignment``).
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders.runner import EncodedBatch
from espalier.io.precomputed.alignment import Alignment
from espalier.io.precomputed.shards import Shard, find_shards

NO_VECTOR = "no vector was brought for it"
UID = "uid"
_KEYS = ("path", "array", "ids")
_SUFFIXES = (".npy", ".npz", ".parquet", ".txt")
_BELOW = ("img_emb", "metadata")


@dataclass(frozen=True)
class Gathered:
    """The unit vectors of the samples that are wanted and ``have`` one, in the order wanted: (have.sum(), dim) float32.

    ``errors`` tells why the others have none, by their place among those wanted.
    """

    have: np.ndarray
    vectors: np.ndarray
    errors: dict[int, str]

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield the vectors, at most ``size`` at a time."""
        for start in range(0, len(self.vectors), size):
            yield self.vectors[start : start + size]


@dataclass(frozen=True)
class PrecomputedEmbeddings:
    """Vectors in files, of one dimension; the files are opened when they are first needed.

    ``array`` and ``ids`` name the array or column of vectors, and the column of ids, where they are not the usual ones.
    """

    path: Path
    array: str | None = None
    ids: str | None = None

    @classmethod
    def parse(cls, value: str | Mapping[str, object]) -> "PrecomputedEmbeddings":
        """Read a spec."""
        if isinstance(value, str):
            path, _, rest = value.strip().partition("#")
            pairs = [piece.partition("=") for piece in rest.split("&") if piece]
            given: dict[str, object] = {"path": path, **{name: text for name, _, text in pairs}}
        else:
            given = dict(value)
        unknown = [key for key in given if key not in _KEYS]
        texts = {key: text for key, text in given.items() if isinstance(text, str) and text}
        if unknown or not texts.get("path") or len(texts) < len(given):
            what = f"have no option {unknown[0]!r}" if unknown else f"are named by {value!r}"
            raise UsageError(f"The embeddings {what}.", "Write PATH, or PATH#array=NAME&ids=COLUMN.")
        return cls(Path(texts["path"]).expanduser(), texts.get("array"), texts.get("ids"))

    def absolute(self) -> "PrecomputedEmbeddings":
        """Return it with its path absolute: runs start in other folders."""
        return PrecomputedEmbeddings(Path(os.path.abspath(self.path)), self.array, self.ids)  # noqa: PTH100 (links stay)

    def __str__(self) -> str:
        """Return the spec as one text."""
        given = {"array": self.array, "ids": self.ids}
        named = "&".join(f"{key}={text}" for key, text in given.items() if text)
        return f"{self.path}#{named}" if named else str(self.path)

    def marks(self) -> list[str]:
        """Tell the state of the files, so that replaced ones are noticed: name, size and time of each."""
        folders = [self.path, *(self.path / name for name in _BELOW)]
        files = [self.path] if self.path.is_file() else [f for d in folders if d.is_dir() for f in sorted(d.iterdir())]
        beside = [self.path.with_suffix(suffix) for suffix in (".parquet", ".txt")] if self.path.is_file() else []
        beside += [self.path.with_name(f"ids{suffix}") for suffix in (".parquet", ".txt", ".npy")] if beside else []
        marked = [f for f in dict.fromkeys([*files, *beside]) if f.suffix in _SUFFIXES and f.is_file()]
        root = self.path.parent if self.path.is_file() else self.path
        return [f"{f.relative_to(root)}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in marked]

    @cached_property
    def shards(self) -> list[Shard]:
        """The files, in the order of their names, all of one dimension."""
        shards = find_shards(self.path, self.array)
        dims = {shard.shape[1]: shard.vectors for shard in shards if len(shard)}
        if not dims:
            raise EspalierError(f"{self.path} holds no vectors.", "Check the files.")
        if len(dims) > 1:
            told = ", ".join(f"{dim} in {file.name}" for dim, file in dims.items())
            raise EspalierError(
                f"The vectors of {self.path} differ in dimension: {told}.", "Bring those of one encoder."
            )
        return shards

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return next(shard.shape[1] for shard in self.shards if len(shard))

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
            "vectors": sum(map(len, self.shards)),
            "files": len(self.shards),
            "array": ", ".join(arrays),
        }

    def align(self, sample_ids: pa.Array, uids: pa.Array | None = None) -> Alignment:
        """Find the sample of each vector, reading ids only: of ``ids``, else of the column that knows most samples.

        A column ``uid`` may hold the samples' ``uids`` in the place of ids. Of two samples with one uid the first has
        the vector.
        """
        chunks: dict[str, list[pa.Array]] = {}
        for shard in self.shards:
            for name, ids in shard.id_columns(self.ids).items():
                if len(ids) != len(shard):
                    raise EspalierError(
                        f"{shard.vectors.name} holds {len(shard)} vectors, {shard.ids.name} {len(ids)} ids.",
                        "One id a vector is needed, in the same order.",
                    )
                chunks.setdefault(name, []).extend(ids.chunks)
        columns = {name: pa.chunked_array(parts, pa.string()) for name, parts in chunks.items()}
        whole = {name: ids for name, ids in columns.items() if len(ids) == sum(map(len, self.shards))}
        rows = {name: pc.index_in(ids, value_set=sample_ids) for name, ids in whole.items()}
        if uids is not None and UID in whole:
            by_uid = pc.index_in(whole[UID], value_set=uids, skip_nulls=True)
            rows[UID] = min(rows[UID], by_uid, key=lambda places: places.null_count)
        best = min(rows, key=lambda name: rows[name].null_count, default=None)
        if best is None or rows[best].null_count == len(rows[best]):
            theirs = ", ".join(sorted({repr(ids[0].as_py()) for ids in whole.values() if len(ids)}))
            ours = repr(sample_ids[0].as_py()) if len(sample_ids) else "none"
            raise EspalierError(
                f"No id of {self.path} is one of a sample (theirs: {theirs or 'none'}; a sample's: {ours}).",
                "Name the column of the ids, or write them as the samples' ids.",
            )
        return Alignment.of_ids(whole[best], rows[best], len(sample_ids), best)

    def read(self, alignment: Alignment, wanted: np.ndarray | None = None) -> Iterator[EncodedBatch]:
        """Read the vectors of samples, bring them to unit length, and refuse those that have no direction by row.

        ``wanted`` is a mask over the samples; all by default. The batches' ``rows`` are those of samples, in the order
        of the files.
        """
        start = 0
        for shard in self.shards:
            first = start
            for block in shard.blocks():
                rows = alignment.rows[start : start + len(block)]
                taken = rows >= 0
                if wanted is not None:
                    taken = taken & wanted[rows]
                if taken.any():
                    places = np.flatnonzero(taken) + (start - first)
                    yield _batch(rows[taken], block[taken], self.dim, places, shard.vectors.name)
                start += len(block)

    def gather(self, alignment: Alignment, rows: np.ndarray) -> Gathered:
        """Read the vectors of samples into the order of ``rows``, which names each sample once."""
        place = np.full(alignment.n_samples, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        have = np.zeros(len(rows), dtype=bool)
        vectors = np.empty((len(rows), self.dim), dtype=np.float32)
        missing = place[alignment.missing]
        errors = dict.fromkeys(missing[missing >= 0].tolist(), NO_VECTOR)
        for batch in self.read(alignment, place >= 0):
            vectors[place[batch.rows]] = batch.vectors
            have[place[batch.rows]] = True
            errors |= {int(place[row]): reason for row, reason in batch.errors}
        return Gathered(have, vectors if have.all() else vectors[have], errors)


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
