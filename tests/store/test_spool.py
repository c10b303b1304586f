import pyarrow as pa
import pytest

from resources.warehouse.spool import spooled

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
