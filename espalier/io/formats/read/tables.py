"""Reads Parquet tables (img2dataset's, Hugging Face's, LAION's, DataComp's) and what ``datasets`` wrote to a disk.

A row is a sample. Its picture is a cell of bytes (``jpg``, or ``image`` with the fields ``bytes`` and ``path``), or a
path, or, for img2dataset's ``files`` output, the file ``<shard>/<key>.<ext>`` beside ``<shard>.parquet``; a table with
texts only is a set of texts. The key column is the id; without one it is the table's path and the row's number. A row
whose ``status`` is not success keeps it as its error. Only the small columns are read here, in batches; the Arrow files
of a saved dataset, whose splits are subsets, are mapped into memory.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.cells import open_arrow, open_parquet
from espalier.io.files.listing import is_url, local_path, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, SUBSET_NAMES, Sample, suffix
from espalier.io.formats.read.columns import Columns
from espalier.io.formats.read.rows import RowFile, TableReader
from espalier.io.formats.read.webdataset import shard_subset
from espalier.io.landing.cards import Card

ROWS = 4096


class ParquetTables(TableReader):
    """Streams the rows of Parquet files: a folder, a file or a pattern."""

    format = kind = "parquet"
    holds = "row of a .parquet"

    def files(self) -> Iterator[RowFile]:
        """Yield each table in byte order of the paths."""
        for entry in walk(self.uri):
            if entry.path.endswith(".parquet"):
                stem = entry.path.removesuffix(".parquet")
                is_uri = "://" in stem or stem.startswith("/")
                name = entry.path.rsplit("/", 1)[-1] if is_uri else entry.path
                yield RowFile(entry.uri, name, stem + "/", table_subset(entry.path))

    def schema_of(self, file: RowFile) -> pa.Schema:
        """Return the columns of one table."""
        with open_parquet(file.uri) as table:
            return table.schema_arrow

    def rows(self, file: RowFile) -> Iterator[Sample]:
        """Yield a sample for every row of one table."""
        try:
            with open_parquet(file.uri) as table:
                columns = self.columns_of(file, table.schema_arrow)
                batches = table.iter_batches(ROWS, columns=columns.wanted())
                samples = self._samples_of(file, columns, (row for batch in batches for row in batch.to_pylist()))
                pictures = _pictures_beside(file.uri, columns)
                yield from samples if pictures is None else (_placed(sample, pictures) for sample in samples)
        except pa.ArrowInvalid as error:
            raise EspalierError(f"{file.uri} is not a Parquet file: {error}.", "Mend or remove it.") from error
        except (OSError, pa.ArrowException) as error:
            raise EspalierError(f"{file.uri} cannot be read: {error}.", "Check it and try again.") from error


def _pictures_beside(uri: str, columns: Columns) -> dict[str, str] | None:
    """Return the pictures of img2dataset's ``files`` output, ``<shard>/<key>.<ext>``, by key; None without a folder."""
    folder = uri.removesuffix(".parquet")
    if columns.image or columns.path or not columns.key or is_url(uri) or not Path(folder).is_dir():
        return None
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    return {name.rpartition(".")[0]: f"{folder}/{name}" for name in names if suffix(name) in IMAGE_EXTENSIONS}


def _placed(sample: Sample, pictures: dict[str, str]) -> Sample:
    """Return the sample with the file of its key."""
    if sample.error is not None:
        return sample
    uri = pictures.get(sample.sample_id, "")
    return replace(sample, uri=uri, error=None if uri else "the picture's file is not there")


def table_subset(path: str) -> str:
    """Return the subset that a table's first folder or the start of its name says (``train-00000-of-00002``)."""
    first = path.rsplit("/", 1)[-1].split("-", 1)[0].removesuffix(".parquet").lower()
    return first if first in SUBSET_NAMES else shard_subset(path) if "/" in path else ""


class SavedDataset(TableReader):
    """Streams a folder that Hugging Face ``datasets`` wrote with ``save_to_disk``, one dataset or one a split."""

    format, kind = "hf_disk", "arrow"

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        path = local_path(card.uri)
        if path is None:
            raise EspalierError(f"{card.uri}: a saved dataset is mapped into memory.", "Copy it to a local disk.")
        self._root = path

    def splits(self) -> list[str]:
        """Return the names of the splits; '' for a dataset without any."""
        path = self._root / "dataset_dict.json"
        return [_plain(name, path) for name in read_json(path).get("splits", [])] if path.is_file() else [""]

    def files(self) -> Iterator[RowFile]:
        """Yield the Arrow files, split by split, in their order."""
        for split in self.splits():
            yield from self.files_of(split)

    def files_of(self, split: str) -> Iterator[RowFile]:
        """Yield the Arrow files of one split, in their order."""
        folder = self._root / split
        state = read_json(folder / "state.json")
        if state.get("_indices_data_files"):
            raise EspalierError(f"{folder} keeps its order in a file apart.", "Save it after flatten_indices().")
        for item in state.get("_data_files", []):
            path = folder / _plain(item["filename"], folder)
            name, stem = ("/".join(filter(None, (split, part))) for part in (path.name, path.stem))
            yield RowFile(str(path), name, stem + "/", split)

    def schema_of(self, file: RowFile) -> pa.Schema:
        """Return the columns of one file."""
        return self._opened(file).schema

    def rows(self, file: RowFile) -> Iterator[Sample]:
        """Yield a sample for every row of one file."""
        table = self._opened(file)
        columns = self.columns_of(file, table.schema)
        wanted = table.select(columns.wanted())
        parts = (wanted.slice(start, ROWS) for start in range(0, table.num_rows, ROWS))
        yield from self._samples_of(file, columns, (row for part in parts for row in part.to_pylist()))

    def _opened(self, file: RowFile) -> pa.Table:
        try:
            return open_arrow(file.uri)
        except OSError as error:
            raise EspalierError(f"{file.uri} cannot be read: {error}.", "Check it and try again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the JSON files of a saved dataset; {} when it holds no object."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EspalierError(f"{path} cannot be read: {error}.", "Save the dataset again.") from error
    return value if isinstance(value, dict) else {}


def _plain(name: Any, where: Path) -> str:
    """Return a file's name that a json gives, refusing one that leads elsewhere."""
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise EspalierError(f"{where} names a file {name!r} outside its folder.", "Save the dataset again.")
    return name
