"""What readers of lists, tables and saved datasets share: files of rows, of which each is a sample, and their keys."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from espalier.io.files.blobs import cell_uri
from espalier.io.formats.read.base import Reader, Sample
from espalier.io.formats.read.columns import Columns, choose
from espalier.io.formats.read.options import COLUMN_OPTIONS


@dataclass(frozen=True)
class RowFile:
    """One file of rows; ``prefix`` begins the keys of rows that have none, ``name`` is its place in an export."""

    uri: str
    name: str
    prefix: str
    subset: str


class RowReader(Reader):
    """Streams the rows of one file after another; the card's options name columns."""

    known_options = COLUMN_OPTIONS

    @abstractmethod
    def files(self) -> Iterator[RowFile]:
        """Yield the files in their order."""

    @abstractmethod
    def rows(self, file: RowFile) -> Iterator[Sample]:
        """Yield a sample for every row of one file."""

    @abstractmethod
    def schema_of(self, file: RowFile) -> pa.Schema:
        """Return the columns of one file."""

    def samples(self) -> Iterator[Sample]:
        """Yield the rows of all files."""
        for file in self.files():
            yield from self.rows(file)

    def columns_of(self, file: RowFile, schema: pa.Schema | None = None) -> Columns:
        """Return which column of one file means what."""
        return choose(self.schema_of(file) if schema is None else schema, self.options, file.uri)

    def schema(self) -> pa.Schema:
        """Return the columns of the first file."""
        return self.schema_of(next(self.files()))

    def unused(self) -> list[str]:
        """Return the columns of the first file that no sample is made of."""
        file = next(self.files())
        schema = self.schema_of(file)
        return self.columns_of(file, schema).unused(schema.names)

    @property
    def has_boxes(self) -> bool:  # type: ignore[override]
        """Whether the first file has boxes."""
        return self.columns_of(next(self.files())).objects != ""


class TableReader(RowReader):
    """Streams the rows of tables with cells of bytes, ``kind`` being that of their uris."""

    kind: str
    _names: tuple[str, ...] = ()

    def categories(self) -> list[str]:
        """Return the class names that the first table with any gives, or those of a full pass, sorted."""
        met = super().categories()
        return list(self._names) or met

    def _samples_of(self, file: RowFile, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
        self._names = self._names or columns.names or columns.box_names
        for number, row in enumerate(rows):
            uri = cell_uri(self.kind, file.uri, number, columns.image) if columns.image else ""
            yield columns.sample(row, f"{file.prefix}{number:09}", file.subset, uri)
