"""The warehouse: a partition is whole or not there, and its data version says what is in it."""

import subprocess
import sys
import textwrap
import tracemalloc

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.io.processes import Process
from espalier.io.warehouse import Draft, Meta, Table, Warehouse
from espalier.io.warehouse.table import array_column, session


@pytest.fixture
def store(tmp_path):
    return Warehouse(tmp_path / "warehouse")


def meta(asset="raw_dataset", dataset="set", recipe=""):
    return Meta(asset, dataset, recipe, "1", {"k": 3}, {"listing": "abc"})


def rows(**changed):
    """Four rows of every type that the stages store; ``changed`` replaces columns."""
    columns = {
        "sample_id": pa.array(["a", "b", "c", "d"]),
        "kept": pa.array([True, False, True, False]),
        "size": pa.array([1, 2, 3, None], pa.int64()),
        "similarity": pa.array([0.5, None, 0.25, 1.0], pa.float32()),
        "labels": pa.array([["x"], [], ["x", "y"], None], pa.list_(pa.string())),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.float32)), 2),
        "hash": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.uint8)), 2),
        "reason": pa.array(["kept", "", None, "near duplicate of a"]),
    }
    return pa.table(columns | changed)


def put(store, draft, where=None):
    staged = store.stage(draft, where or meta())
    staged.commit()
    return Table(staged.target)


def version(store, table, **side):
    return put(store, Draft(table, side=side)).meta.data_version


def test_what_is_stored_is_read_back_with_its_record(store):
    table = put(store, Draft(rows(), side={"categories": pa.table({"name": ["x", "y"]})}, stats={"n_raw": 4}))
    assert len(table) == 4
    assert table.meta.params == {"k": 3}
    assert table.meta.inputs == {"listing": "abc"}
    assert table.meta.stats == {"n_raw": 4}
    assert table.arrow(["*"]).to_pylist() == rows().to_pylist()
    assert table.column("name", table="categories").tolist() == ["x", "y"]
    np.testing.assert_array_equal(table.matrix("vector"), np.arange(8, dtype=np.float32).reshape(4, 2))
    np.testing.assert_array_equal(table.matrix("hash", where="kept"), [[0, 1], [4, 5]])


def test_rows_are_stored_in_byte_order_of_their_ids(store):
    ids = ["é", "z", "Z", "a/b", "a", "10", "9", "é", "\U0001f333", "a b"]
    table = put(store, Draft(pa.table({"sample_id": ids})))
    stored = table.arrow(["sample_id"])["sample_id"].to_pylist()
    assert [s.encode() for s in stored] == sorted(s.encode() for s in ids)


def test_equal_rows_have_one_data_version_whatever_their_order(store):
    first = version(store, rows())
    assert version(store, rows().take([3, 1, 0, 2])) == first
    shuffled = pa.concat_tables([rows().slice(2), rows().slice(0, 2)])
    assert put(store, Draft(shuffled, sort="")).meta.data_version == first
    reader = pa.RecordBatchReader.from_batches(rows().schema, rows().to_batches(max_chunksize=1))
    assert version(store, reader) == first


CHANGES = {
    "an id": {"sample_id": pa.array(["a", "b", "c", "e"])},
    "two ids change places": {"sample_id": pa.array(["b", "a", "c", "d"])},
    "a boolean": {"kept": pa.array([True, False, True, True])},
    "a number": {"size": pa.array([1, 2, 4, None], pa.int64())},
    "a null for a number": {"size": pa.array([1, 2, 3, 0], pa.int64())},
    "a float by its last bit": {
        "similarity": pa.array([np.nextafter(np.float32(0.5), np.float32(1)), None, 0.25, 1.0], pa.float32())
    },
    "two cells of a column change places": {"similarity": pa.array([None, 0.5, 0.25, 1.0], pa.float32())},
    "a label": {"labels": pa.array([["x"], [], ["x", "z"], None], pa.list_(pa.string()))},
    "a null for no labels": {"labels": pa.array([["x"], None, ["x", "y"], None], pa.list_(pa.string()))},
    "the order of labels": {"labels": pa.array([["x"], [], ["y", "x"], None], pa.list_(pa.string()))},
    "the last number of a vector": {
        "vector": pa.FixedSizeListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5, 6, 7.5], pa.float32()), 2)
    },
    "a byte of a hash": {"hash": pa.FixedSizeListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5, 7, 6], pa.uint8()), 2)},
    "a text": {"reason": pa.array(["kept", "", None, "near duplicate of b"])},
    "a null for an empty text": {"reason": pa.array(["kept", None, None, "near duplicate of a"])},
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_changed_cell_gives_another_data_version(store, change):
    assert version(store, rows(**CHANGES[change])) != version(store, rows())


def test_a_row_more_or_twice_or_in_a_side_table_gives_another_data_version(store):
    side = pa.table({"cluster": [0, 1]})
    versions = [
        version(store, rows()),
        version(store, rows().slice(0, 3)),
        version(store, rows().take([0, 1, 2, 3, 3])),
        version(store, rows().take([0, 1, 2, 3, 3, 3])),
        version(store, rows(), centroids=side),
        version(store, rows(), centroids=side.slice(0, 1)),
        version(store, rows(), centroids=side.slice(0, 0), pairs=side),
    ]
    assert len(set(versions)) == len(versions)


def test_no_rows_at_all_can_be_stored_and_read(store):
    table = put(store, Draft(rows().slice(0, 0)))
    assert len(table) == 0
    assert table.matrix("vector").shape == (0, 0)
    assert list(table.column("size")) == []


def test_a_reader_in_the_midst_of_a_swap_goes_on_with_the_old_rows(store):
    """Two files in one answer would mix samples of two states of a dataset."""

    def numbers(value):
        return pa.table({"sample_id": [f"{i:06}" for i in range(50_000)], "value": np.full(50_000, value)})

    put(store, Draft(numbers(1)))
    old = store.need("raw_dataset", "set")
    stream = old.batches(["value"], rows=2048)
    seen = [next(stream)]
    put(store, Draft(numbers(2)))
    fresh = store.need("raw_dataset", "set")
    assert set(fresh.column("value")) == {2}, "a new reader sees the new rows while the old one still reads"
    with session(now=fresh) as db:
        assert db.execute("SELECT min(value), max(value) FROM now").fetchone() == (2, 2)
    seen += list(stream)
    assert sum(b.num_rows for b in seen) == 50_000
    assert {v for b in seen for v in b.column(0).to_pylist()} == {1}


def test_a_staged_partition_is_not_seen_before_its_commit_and_never_after_its_discard(store):
    put(store, Draft(rows()))
    staged = store.stage(Draft(rows().slice(0, 2)), meta())
    assert len(staged.table) == 2
    assert len(store.need("raw_dataset", "set")) == 4
    staged.discard()
    assert len(store.need("raw_dataset", "set")) == 4
    assert files(store) == ["raw_dataset/set.duckdb"]


def files(store):
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


class Broken(Exception):
    pass


def test_a_writer_that_fails_half_way_leaves_what_stood_and_nothing_else(store):
    put(store, Draft(rows()))

    def half():
        yield rows().to_batches()[0]
        raise Broken

    with pytest.raises(Exception, match=r"(?i)broken"):
        store.stage(Draft(pa.RecordBatchReader.from_batches(rows().schema, half())), meta())
    assert files(store) == ["raw_dataset/set.duckdb"]
    assert len(store.need("raw_dataset", "set")) == 4


def test_leftovers_of_dead_writers_go_and_those_of_living_ones_stay(store, gone):
    where = meta("pruned_manifest", "set", "density@0.3:temperature=1")
    folder = store.path(where.asset, where.dataset, where.recipe).parent
    folder.mkdir(parents=True)
    dead, alive = gone, Process.current()
    stem = "density@0.3~temperature=1"
    kept = [
        f".{stem}.{alive}.00000000.tmp",
        # Another recipe, whose name goes on where this one's ends: not ours to judge.
        f".{stem}.5.{dead}.00000000.tmp",
        f".{stem}.5.{alive}.00000000.tmp",
        f".{stem}.notes.tmp",
    ]
    gone = [f".{stem}.{dead}.0123abcd.tmp", f".{stem}.{dead}.0123abcd.tmp.wal"]
    for name in kept + gone:
        (folder / name).touch()
    put(store, Draft(rows()), where)
    assert sorted(p.name for p in folder.iterdir()) == sorted([*kept, f"{stem}.duckdb"])


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".", "..", "A", "a b", "x|y", "x...y", "a" * 65, "a\n", "ä"])
def test_a_name_that_is_no_slug_never_reaches_a_path(store, name):
    for use in (
        lambda: store.path("raw_dataset", name),
        lambda: store.parts("embeddings", name),
        lambda: store.get("raw_dataset", name),
        lambda: store.recipes(name),
        lambda: store.forget(name),
        lambda: store.stage(Draft(rows()), meta(dataset=name)),
    ):
        with pytest.raises(UsageError, match="dataset name"):
            use()
    assert not store.root.exists()


def test_recipes_with_parameters_are_found_under_their_own_text(store):
    texts = ["density@0.3", "density@0.3:keep=easy:temperature=0.2", "random@n50"]
    for text in texts:
        put(store, Draft(rows()), meta("pruned_manifest", "set", text))
    put(store, Draft(rows()), meta("pruned_manifest", "other", "random@0.1"))
    assert store.recipes("set") == sorted(texts)
    assert store.recipes("none") == []


def test_forget_removes_one_dataset_and_no_other(store):
    for dataset in ("set", "set2"):
        for asset in ("raw_dataset", "embeddings"):
            put(store, Draft(rows()), meta(asset, dataset))
        for recipe in ("random@0.1", "density@0.3:keep=easy"):
            put(store, Draft(rows()), meta("pruned_manifest", dataset, recipe))
        store.parts("embeddings", dataset).mkdir()
        (store.parts("embeddings", dataset) / "part.parquet").touch()
    others = [f for f in files(store) if "set2" in f]
    assert store.forget("set", "density@0.3:keep=easy") == 1
    assert store.recipes("set") == ["random@0.1"]
    assert store.forget("set") == 3
    assert files(store) == others
    assert store.forget("set") == 0


def test_what_was_never_made_says_how_to_make_it(store):
    assert store.get("clusters", "set") is None
    with pytest.raises(EspalierError, match=r"'set' by random@0.5 has not been .*prune set --recipe random@0.5$"):
        store.need("pruned_manifest", "set", "random@0.5")
    with pytest.raises(EspalierError, match=r"clusters of 'set' has not been made yet.*espalier prune set$"):
        store.need("clusters", "set")


def test_a_damaged_file_is_named_with_a_remedy(store):
    path = store.path("clusters", "set")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(EspalierError, match=r"set.duckdb cannot be read.*Delete it"):
        len(store.need("clusters", "set"))


def test_a_folder_with_a_quote_in_its_name_holds_a_warehouse_too(tmp_path):
    store = Warehouse(tmp_path / "it's here" / "warehouse")
    table = put(store, Draft(rows()))
    with session(rows=table) as db:
        assert db.execute("SELECT count(*) FROM rows").fetchone() == (4,)


def test_rows_that_stream_in_are_never_all_in_memory(store):
    width, block, blocks = 256, 1000, 60

    def batches():
        for start in range(0, block * blocks, block):
            ids = pa.array([f"{i:08}" for i in range(start, start + block)])
            yield pa.record_batch({"sample_id": ids, "vector": array_column(np.full((block, width), 1, np.float32))})

    schema = pa.schema([("sample_id", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    tracemalloc.start()
    try:
        table = put(store, Draft(pa.RecordBatchReader.from_batches(schema, batches()), sort=""))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == block * blocks
    assert peak < block * blocks * width * 4 / 3


def test_rows_that_stream_out_are_never_all_in_memory(store):
    """Measured in a process of its own, by the operating system."""
    n, width = 60_000, 256
    with duckdb.connect() as db:
        draft = db.sql(
            f"SELECT i AS sample_id, list_resize([i::FLOAT], {width}, 1)::FLOAT[{width}] AS v FROM range({n}) t(i)"
        )
        table = put(store, Draft(draft.to_arrow_reader(8192), sort=""))
    code = """
        import resource, sys
        from pathlib import Path
        from espalier.io.warehouse import Table
        from espalier.io.warehouse.table import array_block
        table = Table(Path(sys.argv[1]))
        next(table.batches(["v"], where="sample_id < 100"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        n = sum(len(array_block(b.column(0))) for b in table.batches(["v"]))
        print(n, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(table.path)], capture_output=True, text=True, check=True
    )
    rows_read, grown_mib = map(int, out.stdout.split())
    assert rows_read == n
    assert grown_mib < n * width * 4 / 2**20 / 2


def test_readers_share_nothing_and_see_the_file_that_stands_there_now(tmp_path):
    first, second = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    for path, value in ((first, 1), (second, 2)):
        with duckdb.connect(str(path)) as db:
            db.execute(f"CREATE TABLE data AS SELECT {value} AS x")
    one = Table(first)
    with one.connect() as outer:
        outer.execute("CREATE TEMP TABLE mine AS SELECT 7 AS y")
        with session(data=one) as inner:
            assert inner.execute("SELECT x FROM data").fetchall() == [(1,)]
            with pytest.raises(duckdb.Error):
                inner.execute("SELECT * FROM mine")
        second.replace(first)
        with one.connect() as newer:
            assert newer.execute("SELECT x FROM data").fetchall() == [(2,)]
        assert outer.execute("SELECT x FROM data").fetchall() == [(1,)]
    with one.connect() as later:
        assert later.execute("SELECT x FROM data").fetchall() == [(2,)]
        with pytest.raises(duckdb.Error):
            later.execute("SELECT * FROM mine")


def test_a_reader_that_stops_midway_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE data AS SELECT range AS x FROM range(100000)")
    for _ in range(20):
        rows = Table(path).batches(["x"], rows=1000)
        assert next(rows).num_rows == 1000
        rows.close()
    with Table(path).connect() as db:
        names = {name for (name,) in db.execute("SELECT database_name FROM duckdb_databases()").fetchall()}
    assert names == {"memory", "stored", "system", "temp"}
