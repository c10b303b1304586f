"""Reads single binary cells of Parquet and Arrow files, the way ``espalier.io.files.blobs`` asks for them.

Parquet cannot be read cell by cell: a column of a row group is decoded from its start. So each file and column has one
forward reader, shared by all threads, that keeps what it decoded last; reading in the order of rows decodes each byte
once. A row group of at most ``WHOLE_GROUP`` bytes is decoded in one piece, a larger one in blocks. Arrow files are
mapped into memory and read in place.
"""

import bisect
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from espalier.io.files.listing import is_url, open_binary

WHOLE_GROUP = 64 << 20
MAX_CELL = 256 << 20
_BLOCK_BYTES = 8 << 20
_BLOCKS_KEPT = 8
_COLUMNS_KEPT = 4


class NoCell(Exception):
    """There are no bytes in the cell; the text is a short reason."""


def read_cell(kind: str, path: str, row: int, column: str) -> bytes:
    """Read one binary cell of a ``parquet`` or (local) ``arrow`` file; ``row`` counts from 0, in the whole file.

    Of a struct column, ``image.bytes`` is a field. A cell that is null, beyond the end or not binary is NoCell.
    """
    value = _OPEN.get(kind, path, column).at(row)
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None:
        raise NoCell("the cell is empty")
    if not isinstance(value, bytes):
        raise NoCell("the cell holds no bytes")
    if len(value) > MAX_CELL:
        raise _too_big()
    return value


def _too_big() -> NoCell:
    return NoCell(f"the cell holds more than {MAX_CELL >> 20} MiB")


class _ParquetColumn:
    """One column of one Parquet file, decoded forward on demand."""

    def __init__(self, path: str, column: str) -> None:
        self._file = open_parquet(path)
        self._column, self._lock = column, threading.Lock()
        groups = [self._file.metadata.row_group(n) for n in range(self._file.metadata.num_row_groups)]
        self._ends = [0, *accumulate(group.num_rows for group in groups)]
        self._rows = [_block_rows(group.num_rows, group.total_byte_size) for group in groups]
        self._too_big = [_largest_mean(group, column) > MAX_CELL for group in groups]
        self._blocks: OrderedDict[int, pa.Array] = OrderedDict()
        self._coming: Iterator[pa.RecordBatch] = iter(())
        self._group, self._next = -1, 0

    def at(self, row: int) -> Any:
        if not 0 <= row < self._ends[-1]:
            raise NoCell(f"the table has no row {row}")
        with self._lock:
            for start, block in reversed(self._blocks.items()):
                if start <= row < start + len(block):
                    return _pick(block[row - start], self._column)
            return self._decode_to(row)

    def _decode_to(self, row: int) -> Any:
        group = bisect.bisect_right(self._ends, row) - 1
        if self._too_big[group]:  # a bomb is refused before it is unpacked
            raise _too_big()
        if group != self._group or row < self._next:
            self._coming = self._file.iter_batches(self._rows[group], row_groups=[group], columns=[self._column])
            self._group, self._next = group, self._ends[group]
        for batch in self._coming:
            if batch.num_columns == 0:
                raise NoCell(f"the table has no column {self._column!r}")
            start, self._next = self._next, self._next + batch.num_rows
            if row < self._next:
                self._blocks[start] = batch.column(0)
                is_whole = self._next - start == self._ends[group + 1] - self._ends[group]
                while len(self._blocks) > (2 if is_whole else _BLOCKS_KEPT):
                    self._blocks.popitem(last=False)
                return _pick(batch.column(0)[row - start], self._column)
        raise NoCell(f"the table has no row {row}")


def _block_rows(rows: int, n_bytes: int) -> int:
    """Return how many rows are decoded at a time."""
    if n_bytes <= WHOLE_GROUP:
        return max(1, rows)
    return max(1, rows * _BLOCK_BYTES // n_bytes)


def _largest_mean(group: pq.RowGroupMetaData, column: str) -> float:
    """Return the mean bytes of a cell of a row group, unpacked, of that leaf of the column where it is greatest."""
    leaves = (group.column(i) for i in range(group.num_columns))
    name = column.split(".", 1)[0]
    sizes = [leaf.total_uncompressed_size for leaf in leaves if leaf.path_in_schema.split(".", 1)[0] == name]
    return max(sizes, default=0) / max(group.num_rows, 1)


class _ArrowColumn:
    """One column of one Arrow IPC file or stream, mapped into memory."""

    def __init__(self, path: str, column: str) -> None:
        self._column = column
        self._values = open_arrow(path)[column.split(".", 1)[0]]

    def at(self, row: int) -> Any:
        if not 0 <= row < len(self._values):
            raise NoCell(f"the table has no row {row}")
        return _pick(self._values[row], self._column)


def open_parquet(uri: str) -> pq.ParquetFile:
    """Open a Parquet file that lies on a disk or in a store, to be read forward."""
    return pq.ParquetFile(open_binary(uri) if is_url(uri) else uri, pre_buffer=False, buffer_size=1 << 20)


def open_arrow(path: str) -> pa.Table:
    """Map a local Arrow IPC stream or file; nothing is read until it is used."""
    try:
        source = pa.memory_map(path)
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid as error:
        raise OSError(f"not an Arrow file: {error}") from error


def _pick(value: pa.Scalar, column: str) -> Any:
    """Return a cell as Python value; for a struct the field that the column's name ends on."""
    if pa.types.is_struct(value.type) and value.is_valid:
        name = column.rsplit(".", 1)[-1]
        names = [field.name for field in value.type]
        return value[name].as_py() if name in names else value.as_py()
    return value.as_py()


class _Open:
    """The columns that are open, the least recently used one leaves; a file that was replaced is opened anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: OrderedDict[Any, _ParquetColumn | _ArrowColumn] = OrderedDict()

    def get(self, kind: str, path: str, column: str) -> _ParquetColumn | _ArrowColumn:
        status = None if is_url(path) else os.stat(path)  # noqa: PTH116
        state = status and (status.st_ino, status.st_size, status.st_mtime_ns)
        key = (kind, path, column, state)
        with self._lock:
            if key not in self._columns:
                make = _ParquetColumn if kind == "parquet" else _ArrowColumn
                try:
                    self._columns[key] = make(path, column)
                except (pa.ArrowInvalid, KeyError) as error:
                    raise OSError(f"not a {kind} file with the column {column!r}: {error}") from error
                while len(self._columns) > _COLUMNS_KEPT:
                    self._columns.popitem(last=False)
            self._columns.move_to_end(key)
            return self._columns[key]


_OPEN = _Open()
