import numpy as np
import pyarrow as pa
import pytest

from espalier.io.warehouse import spool
from espalier.io.warehouse.spool import array_aside, spooled

SCHEMA = pa.schema([("x", pa.int64()), ("y", pa.list_(pa.uint16(), 3))])


def batches(n):
    for number in range(n):
        xs = pa.array(range(number * 10, number * 10 + 10))
        ys = pa.FixedSizeListArray.from_arrays(pa.array([number] * 30, pa.uint16()), 3)
        yield pa.RecordBatch.from_arrays([xs, ys], schema=SCHEMA)


def test_rows_come_back_in_order_and_the_file_has_no_name_left(tmp_path):
    reader = spooled(batches(50), SCHEMA, tmp_path / "new" / "a.duckdb")
    assert list((tmp_path / "new").iterdir()) == []
    assert reader.read_all().equals(pa.Table.from_batches(list(batches(50))))


def test_no_rows_are_an_empty_table_of_the_schema(tmp_path):
    assert spooled(iter(()), SCHEMA, tmp_path / "a.duckdb").read_all().schema == SCHEMA


def test_a_failure_midway_leaves_nothing(tmp_path):
    def failing():
        yield from batches(3)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        spooled(failing(), SCHEMA, tmp_path / "a.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows(tmp_path):
    before = pa.total_allocated_bytes()
    peak = 0

    def watched():
        nonlocal peak
        for batch in batches(3000):
            peak = max(peak, pa.total_allocated_bytes() - before)
            yield batch

    reader = spooled(watched(), SCHEMA, tmp_path / "a.duckdb")
    assert sum(len(batch) for batch in reader) == 30_000
    assert peak < 100_000


def test_a_large_array_lies_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    large, small = array_aside((300, 8), np.float32, tmp_path), array_aside((10, 8), np.uint8, tmp_path)
    assert isinstance(large, np.memmap)
    assert not isinstance(small, np.memmap)
    large[7] = range(8)
    small[3] = 5
    assert large[6:9].tolist() == [[0] * 8, list(range(8)), [0] * 8]
    assert small.sum() == 40
    assert list(tmp_path.iterdir()) == []


def test_an_array_without_rows_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    assert array_aside((0, 8), np.float32, tmp_path).shape == (0, 8)


def test_a_full_disk_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    monkeypatch.setattr(spool.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        array_aside((300, 8), np.float32, tmp_path)
