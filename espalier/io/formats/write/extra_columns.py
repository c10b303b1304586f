"""The columns of a table or list that nothing of a sample is made of, so that a conversion need not lose them.

Tables with pictures in them are read forward in the order of their rows, a batch at a time; the rows of a list are
looked up by id. Members of tars and binary columns stay behind.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from espalier.io.files.cells import open_arrow, open_parquet
from espalier.io.formats.read.base import Reader
from espalier.io.formats.read.lists import ListFile
from espalier.io.formats.read.options import USUAL
from espalier.io.formats.read.rows import RowReader

_CELL = re.compile(r"(parquet|arrow):(.+)#(\d+)&[^#&]+", re.DOTALL)
_ROWS = 4096
# What writers and readers call their own columns.
_TAKEN = {name for names in USUAL.values() for name in names} | {"key", "uid", "objects", "split", "text", "caption"}


class ExtraColumns:
    """Looks up what else a source says of each sample: the columns ``fields``.

    Those that are ``left`` are binary, or have names that writers use for something else.
    """

    def __init__(self, reader: Reader, wanted: set[str], *, packed: bool) -> None:
        names = reader.unused()
        schema = reader.schema() if isinstance(reader, RowReader) and (packed or isinstance(reader, ListFile)) else ()
        fields = [field for field in schema if field.name in names and field.name.lower() not in _TAKEN]
        self.fields = [field for field in fields if not _holds_bytes(field.type)]
        self._names = [field.name for field in self.fields]
        self.left = [name for name in names if name not in self._names]
        self._of_list: dict[str, dict[str, Any]] = {}
        if isinstance(reader, ListFile) and self.fields:
            self._of_list = dict(reader.other_columns(wanted, set(self._names)))
        self._path, self._start = "", 0
        self._rows: list[dict[str, Any]] = []
        self._coming: Iterator[pa.RecordBatch] = iter(())

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
            self._path, self._start, self._rows = path, 0, []
            self._coming = iter(self._batches(kind, path))
        while row >= self._start + len(self._rows):
            self._start += len(self._rows)
            self._rows = next(self._coming).to_pylist()
        return self._rows[row - self._start]

    def _batches(self, kind: str, path: str) -> Iterable[pa.RecordBatch]:
        """Read those of the columns that a file has."""
        if kind == "arrow":
            table = open_arrow(path)
            names = [name for name in self._names if name in table.column_names]
            return table.select(names).to_batches(max_chunksize=_ROWS)
        file = open_parquet(path)
        there = set(file.schema_arrow.names)
        return file.iter_batches(_ROWS, columns=[name for name in self._names if name in there])


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
