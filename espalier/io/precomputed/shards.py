"""Files of vectors that a user brings, as shards: ids beside a matrix.

No pickle is loaded. Layouts:

``img_emb/*.npy`` with ``metadata/*.parquet``
    clip-retrieval; files belong together by the number at the end of their names;
``x.npy`` with ``x.parquet``, ``x.txt``, ``ids.parquet``, ``ids.txt`` or ``ids.npy``
    a matrix and its ids, one a row (a line);
``x.npz`` with ``x.parquet``, or with an array ``ids`` in it
    DataComp; ``l14_img`` is taken before ``b32_img``;
``*.parquet``
    a column of lists of floats beside the ids.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from espalier.core.errors import EspalierError

BLOCK_ROWS = 8192
ID_COLUMNS = ("sample_id", "id", "key", "__key__", "uid", "image_path", "path", "file_name", "filename", "image_id")
VECTOR_COLUMNS = ("embedding", "vector", "img_emb", "image_embedding", "clip_embedding", "embeddings", "features")
NPZ_ARRAYS = ("l14_img", "b32_img", "vectors", "embeddings", "embedding")
_REMEDY = "The layouts that are known stand in docs/embeddings.md."


@dataclass(frozen=True)
class Shard:
    """A matrix and where the ids of its rows are, maybe the same file; ``array`` is its name or column there."""

    vectors: Path
    ids: Path
    array: str

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Return the number of vectors and their dimension, from the header."""
        if self.vectors.suffix == ".parquet":
            rows = pq.ParquetFile(self.vectors).metadata.num_rows
            return rows, next((block.shape[1] for block in self.blocks() if block.shape[1]), 0)
        shape = self._open().shape
        return int(shape[0]), int(shape[1])

    def __len__(self) -> int:
        """Return the number of vectors."""
        return self.shape[0]

    def id_columns(self, only: str | None = None) -> dict[str, pa.ChunkedArray]:
        """Return the columns that may hold the ids, as strings."""
        if self.ids.suffix == ".txt":
            return {"": pa.chunked_array([pa.array(self.ids.read_text(encoding="utf-8").splitlines(), pa.string())])}
        if self.ids.suffix in (".npy", ".npz"):
            loaded = _load(self.ids)
            names = loaded if self.ids.suffix == ".npy" else loaded["ids"]
            return {"": pa.chunked_array([pa.array(np.asarray(names).astype(str).tolist(), pa.string())])}
        known = pq.read_schema(self.ids).names
        if only is not None and only not in known:
            raise EspalierError(f"{self.ids} has no column {only!r}.", f"It has: {', '.join(known)}.")
        names = [only] if only else [name for name in ID_COLUMNS if name in known]
        if not names:
            raise EspalierError(f"{self.ids} has no column of ids that is known ({', '.join(known)}).", "Name it.")
        table = pq.read_table(self.ids, columns=names)
        return {name: table[name].cast(pa.string()) for name in names}

    def blocks(self) -> Iterator[np.ndarray]:
        """Read the vectors in order, at most ``BLOCK_ROWS`` at a time, in the type that they are in."""
        if self.vectors.suffix == ".parquet":
            for batch in pq.ParquetFile(self.vectors).iter_batches(BLOCK_ROWS, columns=[self.array]):
                yield _matrix(batch.column(0), self)
            return
        whole = self._open()
        for start in range(0, len(whole), BLOCK_ROWS):
            yield np.asarray(whole[start : start + BLOCK_ROWS])

    def _open(self) -> np.ndarray:
        loaded = _load(self.vectors)
        whole = loaded[self.array] if self.array else loaded
        if whole.ndim != 2 or whole.dtype.kind != "f":
            raise EspalierError(
                f"{self.vectors} holds {whole.dtype} of shape {whole.shape}, no matrix of vectors.", _REMEDY
            )
        return whole


def find_shards(path: Path, array: str | None = None) -> list[Shard]:
    """Find the shards of a file or folder, in the order of their names.

    ``array`` names the array (``.npz``) or column (``.parquet``) of vectors where it is not a known one.
    """
    if not path.exists():
        raise EspalierError(f"There are no embeddings at {path}.", "Check the path.")
    if path.is_dir() and (path / "img_emb").is_dir():
        return _clip_retrieval(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    matrices = [file for file in files if file.suffix in (".npy", ".npz") and file.stem != "ids"]
    if matrices:
        return [Shard(file, _ids_of(file), _array(file, array)) for file in matrices]
    tables = [file for file in files if file.suffix == ".parquet"]
    if not tables:
        raise EspalierError(f"{path} holds no .npy, .npz or .parquet files of vectors.", _REMEDY)
    return [Shard(file, file, _column(file, array)) for file in tables]


def _clip_retrieval(path: Path) -> list[Shard]:
    """Pair ``img_emb/img_emb_N.npy`` with ``metadata/metadata_N.parquet``."""
    metadata = {_number(file): file for file in sorted((path / "metadata").glob("*.parquet"))}
    shards = []
    for file in sorted((path / "img_emb").glob("*.npy"), key=lambda file: (_number(file), file.name)):
        if _number(file) not in metadata:
            raise EspalierError(f"{file} has no metadata/*_{_number(file)}.parquet beside it.", _REMEDY)
        shards.append(Shard(file, metadata[_number(file)], ""))
    if not shards:
        raise EspalierError(f"{path / 'img_emb'} is empty.", _REMEDY)
    return shards


def _number(file: Path) -> int:
    digits = re.search(r"(\d+)$", file.stem)
    return int(digits[1]) if digits else -1


def _ids_of(file: Path) -> Path:
    """Return the file that holds a matrix's ids."""
    beside = [file.with_suffix(".parquet"), file.with_suffix(".txt")]
    beside += [file.with_name(f"ids{suffix}") for suffix in (".parquet", ".txt", ".npy")]
    if file.suffix == ".npz" and "ids" in _load(file):
        return file
    for ids in beside:
        if ids.is_file():
            return ids
    raise EspalierError(f"{file} has no ids.", f"Put {file.stem}.txt (one a line) or {file.stem}.parquet there.")


def _array(file: Path, wanted: str | None) -> str:
    """Return the name of the array of vectors in an ``.npz``."""
    if file.suffix == ".npy":
        return ""
    names = list(_load(file))
    known = [wanted] if wanted else [name for name in NPZ_ARRAYS if name in names]
    rest = [name for name in names if name != "ids"]
    chosen = known[0] if known else rest[0] if len(rest) == 1 else None
    if chosen not in names:
        raise EspalierError(f"{file} has no array {chosen or 'of a known name'}.", f"It has: {', '.join(names)}.")
    return str(chosen)


def _column(file: Path, wanted: str | None) -> str:
    """Return the name of the column of vectors in a ``.parquet``."""
    try:
        schema = pq.read_schema(file)
    except pa.ArrowException as error:
        raise EspalierError(f"{file} is not a Parquet file: {error}", _REMEDY) from None
    lists = [field.name for field in schema if _is_vector(field.type)]
    known = [wanted] if wanted else [name for name in VECTOR_COLUMNS if name in lists] or lists
    if len(known) == 1 or (known and known[0] in VECTOR_COLUMNS):
        if known[0] in lists:
            return known[0]
    raise EspalierError(
        f"{file} has no single column of lists of floats.", f"Name one of: {', '.join(lists) or 'there is none'}."
    )


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return lists and pa.types.is_floating(kind.value_type)


def _matrix(column: pa.Array, shard: Shard) -> np.ndarray:
    """Turn a column of lists of one length into (n, d); a missing list is a row of NaN."""
    there = column.is_valid().to_numpy(zero_copy_only=False)
    lists = column.drop_null()
    widths = np.unique(lists.value_lengths().to_numpy(zero_copy_only=False))
    if len(widths) > 1:
        raise EspalierError(f"The lists in {shard.vectors} are not of one length.", _REMEDY)
    values = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), widths[0] if len(widths) else 0)
    if there.all():
        return values
    out = np.full((len(column), values.shape[1]), np.nan, dtype=values.dtype)
    out[there] = values
    return out


def _load(file: Path) -> Any:
    """Open ``.npy`` as a memory map, ``.npz`` as its mapping of arrays; never a pickle."""
    try:
        return np.load(file, mmap_mode="r" if file.suffix == ".npy" else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise EspalierError(f"{file} cannot be read: {error}", "Objects and pickles are not loaded.") from None
