"""The columns of a table or list that nothing of a sample is made of, so that a conversion need not lose them.

Tables with pictures in them are read forward in the order of their rows, a batch at a time; the rows of a list are
looked up by id. What does not belong here: columns that a sample is made of (``read.columns``), members of
tars, and binary columns, which stay behind.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from espalier.io.files.cells import open_arrow
from espalier.io.formats.read.base import Reader
from espalier.io.formats.read.columns import USUAL
from espalier.io.formats.read.lists import ListFile
from espalier.io.formats.read.saved_dataset import SavedDataset
from espalier.io.formats.read.tables import ParquetTables, open_parquet

_CELL = re.compile(r"(parquet|arrow):(.+)#(\d+)&[^#&]+", re.DOTALL)
_ROWS = 4096
# What writers and readers call their own columns.
_TAKEN = {name for names in USUAL.values() for name in names} | {"key", "uid", "objects", "split", "text", "caption"}


class Rest:
    """Looks up what else a source says of each sample.

    Attributes
    ----------
    fields : list[pyarrow.Field]
        The columns that are carried over.
    left : list[str]
        Those that are not: binary ones, and those whose names writers use for something else.
    """

    def __init__(self, reader: Reader, wanted: set[str], *, packed: bool) -> None:
        self.fields: list[pa.Field] = []
        self.left: list[str] = []
        self._of_list: dict[str, dict[str, Any]] = {}
        self._path, self._start = "", 0
        self._rows: list[dict[str, Any]] = []
        self._coming: Iterator[pa.RecordBatch] = iter(())
        self._arrow: pa.Table | None = None
        if isinstance(reader, ListFile):
            names = reader.unused()
            self.fields = [pa.field(name, pa.string()) for name in names if name.lower() not in _TAKEN]
            if self.fields:
                self._of_list = dict(reader.others(wanted, {field.name for field in self.fields}))
        elif isinstance(reader, ParquetTables | SavedDataset):
            schema, names = reader.schema(), reader.unused()
            fields = [schema.field(name) for name in names] if packed else []
            self.fields = [f for f in fields if f.name.lower() not in _TAKEN and not _holds_bytes(f.type)]
        else:
            names = []
        kept = {field.name for field in self.fields}
        self.left = [name for name in names if name not in kept]

    def of(self, sample_id: str, uri: str) -> Mapping[str, Any]:
        """Return what else is said of a sample; within a table, ask in the order of rows."""
        if not self.fields:
            return {}
        cell = _CELL.fullmatch(uri)
        if cell is None:
            return self._of_list.get(sample_id, {})
        return self._row(cell[1], cell[2], int(cell[3]))

    def _row(self, kind: str, path: str, row: int) -> dict[str, Any]:
        if path != self._path or row < self._start:
            self._open(kind, path)
        if self._arrow is not None:
            found: dict[str, Any] = self._arrow.slice(row, 1).to_pylist()[0]
            return found
        while row >= self._start + len(self._rows):
            self._start += len(self._rows)
            self._rows = next(self._coming).to_pylist()
        return self._rows[row - self._start]

    def _open(self, kind: str, path: str) -> None:
        names = [field.name for field in self.fields]
        self._path, self._start, self._rows, self._arrow = path, 0, [], None
        if kind == "arrow":
            table = open_arrow(path)
            self._arrow = table.select([name for name in names if name in table.column_names])
            return
        file = open_parquet(path)
        there = set(file.schema_arrow.names)
        self._coming = file.iter_batches(_ROWS, columns=[name for name in names if name in there])


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, and texts for what it does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, dict):
        return {str(key): as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, list | tuple) else str(value)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
