"""Reads Parquet tables: img2dataset's, Hugging Face's, LAION's and DataComp's.

A row is a sample. Its picture is a cell of bytes (``jpg``, or ``image`` with the fields ``bytes`` and
``path``), or a path, or, for img2dataset's ``files`` output, the file ``<shard>/<key>.<ext>`` beside
``<shard>.parquet``; a table with texts only is a set of texts. The key column is the id; without one it is
the table's path and the row's number. A row whose ``status`` is not success keeps it as its error. Only the
small columns are read here, in batches.

Which column means what: ``espalier.io.formats.read.columns``. The bytes: ``espalier.io.files.cells``.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.cells import open_parquet
from espalier.io.files.listing import is_url, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, SUBSET_NAMES, Sample, suffix
from espalier.io.formats.read.columns import Columns
from espalier.io.formats.read.rows import RowFile, TableReader
from espalier.io.formats.read.webdataset import shard_subset

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
