"""Reads Parquet tables: img2dataset's, Hugging Face's, LAION's and DataComp's.

A row is a sample. Its picture is a cell of bytes (``jpg``, or ``image`` with the fields ``bytes`` and
``path``), or a path, or, for img2dataset's ``files`` output, the file ``<shard>/<key>.<ext>`` beside
``<shard>.parquet``; a table with texts only is a set of texts. The key column is the id; without one it is
the table's path and the row's number. A row whose ``status`` is not success keeps it as its error. Only the
small columns are read here, in batches.

Which column means what: ``espalier.io.formats.read.columns``. The bytes: ``espalier.io.files.cells``.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import cell_uri
from espalier.io.files.listing import Entry, filesystem, is_url, walk
from espalier.io.formats.read.base import (
    IMAGE_EXTENSIONS,
    SUBSET_NAMES,
    Sample,
    batched,
    check_options,
    nothing_in,
    sorted_labels,
)
from espalier.io.formats.read.columns import OPTIONS, Columns, choose
from espalier.io.formats.read.webdataset import shard_subset
from espalier.io.landing.cards import Card

ROWS = 4096


class ParquetTables:
    """Streams the rows of Parquet files.

    Parameters
    ----------
    card : Card
        ``uri`` is a folder, a file or a pattern; the options name columns (``espalier.io.formats.read.columns``).
    """

    format = "parquet"

    def __init__(self, card: Card) -> None:
        check_options(self.format, card.reader_options, OPTIONS)
        self.uri, self._options = card.uri, card.reader_options
        self._labels: dict[str, None] | None = None
        self._names: tuple[str, ...] = ()

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples, file by file, in the order of rows."""
        return batched(self._samples(), size)

    def categories(self) -> list[str]:
        """Return the class names that the table gives, or else those of a full pass, sorted."""
        if self._labels is None:
            for _ in self._samples():
                pass
        return list(self._names) or sorted_labels(self._labels or ())

    def _samples(self) -> Iterator[Sample]:
        labels: dict[str, None] = {}
        empty = True
        for entry in walk(self.uri):
            if entry.path.endswith(".parquet"):
                for sample in self.rows(entry):
                    empty = False
                    labels.update(dict.fromkeys(sample.labels))
                    yield sample
        if empty:
            raise nothing_in(self.uri, "row of a .parquet")
        self._labels = labels

    def rows(self, entry: Entry) -> Iterator[Sample]:
        """Yield a sample for every row of one file."""
        try:
            with open_parquet(entry.uri) as file:
                yield from self._table(entry, file)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, pa.ArrowInvalid):
                raise EspalierError(f"{entry.uri} is not a Parquet file: {error}.", "Mend or remove it.") from error
            raise EspalierError(f"{entry.uri} cannot be read: {error}.", "Check it and try again.") from error

    def columns(self, entry: Entry, schema: pa.Schema) -> Columns:
        """Return which column of one file means what."""
        folder = entry.uri.rsplit("/", 1)[0]
        return choose(column_kinds(schema), self._options, entry.uri, folder, class_names(schema))

    def unused(self) -> list[str]:
        """Return the columns of the first file that no sample is made of."""
        names, columns, _ = self._first()
        return columns.unused(names)

    def boxed(self) -> bool:
        """Tell whether the first file has boxes."""
        return self._first()[1].objects != ""

    def schema(self) -> pa.Schema:
        """Return the schema of the first file."""
        return self._first()[2]

    def _first(self) -> tuple[list[str], Columns, pa.Schema]:
        entry = next(entry for entry in walk(self.uri) if entry.path.endswith(".parquet"))
        with open_parquet(entry.uri) as file:
            return file.schema_arrow.names, self.columns(entry, file.schema_arrow), file.schema_arrow

    def _table(self, entry: Entry, file: pq.ParquetFile) -> Iterator[Sample]:
        columns = self.columns(entry, file.schema_arrow)
        self._names = self._names or columns.names or columns.box_names
        files = _Files(entry.uri, columns)
        stem, subset, row_number = entry.path.removesuffix(".parquet"), table_subset(entry.path), 0
        for batch in file.iter_batches(ROWS, columns=columns.wanted()):
            for row in batch.to_pylist():
                uri = cell_uri("parquet", entry.uri, row_number, columns.image) if columns.image else ""
                sample = columns.sample(row, f"{stem}/{row_number:09}", subset, uri)
                yield files.placed(sample) if files.found else sample
                row_number += 1


class _Files:
    """The pictures of img2dataset's ``files`` output: ``<shard>/<key>.<ext>`` beside ``<shard>.parquet``."""

    def __init__(self, uri: str, columns: Columns) -> None:
        folder = uri.removesuffix(".parquet")
        self.found = False
        if columns.image or columns.path or not columns.key or is_url(uri) or not Path(folder).is_dir():
            return
        self._folder, self._extensions = folder, {}  # type: str, dict[str, str]
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, extension = os.path.splitext(entry.name)  # noqa: PTH122
                if extension.lower() in IMAGE_EXTENSIONS and entry.is_file(follow_symlinks=False):
                    self._extensions[stem] = extension
        self.found = True

    def placed(self, sample: Sample) -> Sample:
        """Return the sample with the file of its key."""
        if sample.error is not None:
            return sample
        extension = self._extensions.get(sample.sample_id)
        uri = f"{self._folder}/{sample.sample_id}{extension}" if extension else ""
        error = None if extension else "the picture's file is not there"
        return replace(sample, uri=uri, error=error)


def open_parquet(uri: str) -> pq.ParquetFile:
    """Open a Parquet file that lies on a disk or in a store."""
    if not is_url(uri):
        return pq.ParquetFile(uri, pre_buffer=False, buffer_size=1 << 20)
    system, path = filesystem(uri)
    return pq.ParquetFile(system.open(path, "rb"))


def column_kinds(schema: pa.Schema) -> dict[str, bool]:
    """Map each column to whether it holds bytes; a struct of bytes and path counts as its bytes."""
    kinds = {}
    for field in schema:
        if pa.types.is_struct(field.type):
            inner = {part.name: part.type for part in field.type}
            if "bytes" in inner and _is_bytes(inner["bytes"]):
                kinds[field.name] = True
            elif "bbox" in inner:
                kinds[field.name] = False
        else:
            kinds[field.name] = _is_bytes(field.type)
    return kinds


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class names that Hugging Face wrote into a table's metadata, by column."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return {}
    try:
        features = json.loads(written)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for column, feature in features.items():
        names = _names_in(feature)
        if names is not None:
            found[column] = names
    return found


def _names_in(feature: Any) -> list[str] | None:
    """Return the class names of a feature, of what its list holds, or of the category of its boxes."""
    if not isinstance(feature, dict):
        return None
    if isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    inner = feature.get("feature")
    return _names_in(inner if inner is not None else feature.get("category", feature.get("label")))


def table_subset(path: str) -> str:
    """Return the subset that a table's first folder or the start of its name says (``train-00000-of-00002``)."""
    first = path.rsplit("/", 1)[-1].split("-", 1)[0].removesuffix(".parquet").lower()
    return first if first in SUBSET_NAMES else shard_subset(path) if "/" in path else ""
