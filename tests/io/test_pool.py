"""Borrowed DuckDB instances: used again, never shared, and what does not fit in memory is put beside the file."""

import shutil

import duckdb
import pytest

from espalier.io.warehouse import pool
from espalier.io.warehouse.pool import attached, created

SPILLING = "SELECT count(*) FROM (SELECT i, repeat(i::VARCHAR, 40) AS text FROM range(1500000) t(i) ORDER BY text DESC)"


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(pool, "_idle", [])


def table(path, rows=3):
    with created(path) as db:
        db.execute(f"CREATE TABLE data AS SELECT i FROM range({rows}) t(i)")
    return path


def test_what_was_made_is_in_one_file_that_others_can_open(tmp_path):
    path = table(tmp_path / "a.duckdb")
    assert [p.name for p in tmp_path.iterdir()] == ["a.duckdb"]
    with duckdb.connect(str(path), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM data").fetchone() == (3,)


def test_an_instance_is_used_again_and_remembers_nothing(tmp_path):
    path = table(tmp_path / "a.duckdb")
    (first,) = pool._idle
    with attached({"one": path}) as db:
        assert pool._idle == []
        db.execute("CREATE TEMP VIEW mine AS SELECT * FROM one.data")
        db.execute("PRAGMA force_compression='uncompressed'")
    assert pool._idle == [first]
    with attached({"two": path}) as db:
        assert db.execute("SELECT current_setting('force_compression')").fetchone()[0].lower() == "auto"
        with pytest.raises(duckdb.CatalogException):
            db.execute("SELECT * FROM mine")
        with pytest.raises(duckdb.Error):
            db.execute("SELECT * FROM one.data")


def test_two_at_a_time_have_an_instance_each_and_few_are_kept(tmp_path):
    path = table(tmp_path / "a.duckdb")
    with attached({"t": path}) as one, attached({"t": path}) as other:
        assert (
            one.execute("SELECT sum(i) FROM t.data").fetchone() == other.execute("SELECT sum(i) FROM t.data").fetchone()
        )
    lent = [attached({"t": path}) for _ in range(pool.MOST_IDLE + 3)]
    for each in lent:
        each.__enter__()
    for each in lent:
        each.__exit__(None, None, None)
    assert len(pool._idle) == pool.MOST_IDLE


def test_an_error_gives_the_instance_back_and_the_half_written_file_stays_for_the_caller(tmp_path):
    with pytest.raises(duckdb.Error), created(tmp_path / "a.duckdb") as db:
        db.execute("CREATE TABLE data AS SELECT error('no')")
    assert len(pool._idle) == 1
    assert table(tmp_path / "b.duckdb").exists()


@pytest.mark.parametrize("making", [True, False], ids=["making", "reading"])
def test_what_does_not_fit_in_memory_is_put_beside_the_file_and_goes(tmp_path, making):
    path = tmp_path / "a.duckdb" if making else table(tmp_path / "a.duckdb")
    seen = []
    with created(path) if making else attached({"t": path}) as db:
        db.execute("SET memory_limit = '100MB'")
        db.execute("SET threads = 1")
        db.execute(f"CREATE TEMP TABLE big AS {SPILLING.replace('count(*)', '*')}")
        seen += [p for p in tmp_path.iterdir() if p.is_dir()]
    (aside,) = seen
    assert aside.name.startswith(".a.")
    assert not aside.exists()
    assert pool._idle == [], "an instance that put rows aside is not used again"


def test_an_instance_that_put_rows_aside_and_dropped_them_is_no_trouble_to_the_next(tmp_path):
    """DuckDB removes the folder with its last file, but will not take another folder after that."""
    path = table(tmp_path / "a.duckdb")
    with attached({"t": path}) as db:
        db.execute("SET memory_limit = '100MB'")
        db.execute("SET threads = 1")
        db.execute(f"CREATE TEMP TABLE big AS {SPILLING.replace('count(*)', '*')}")
        db.execute("DROP TABLE big")
        for aside in [p for p in tmp_path.iterdir() if p.is_dir()]:
            shutil.rmtree(aside)
    with attached({"t": path}) as db:
        assert db.execute("SELECT sum(i) FROM t.data").fetchone() == (3,)
    assert table(tmp_path / "b.duckdb").exists()
