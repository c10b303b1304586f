import sqlite3
import threading
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from resources.event_log import MOST_OPEN, Engines, quicken


@pytest.fixture
def engines():
    return Engines()


def write(engines, path, rows=1):
    for row in range(rows):
        with engines.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.pool.NullPool).begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS events (x)"))
            connection.execute(sqlalchemy.text(f"INSERT INTO events VALUES ({row})"))


def count(engines, path):
    with engines.create_engine(f"sqlite:///{path}").connect() as connection:
        return connection.execute(sqlalchemy.text("SELECT count(*) FROM events")).scalar()


def test_one_engine_and_one_connection_serve_a_database_also_after_dispose(engines, tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    write(engines, tmp_path / "runs.db")
    first = engines.create_engine(url)
    with first.connect() as connection:
        before = connection.connection.driver_connection
    first.dispose()
    second = engines.create_engine(url)
    with second.connect() as connection:
        assert connection.connection.driver_connection is before
    assert second is first


def test_no_write_waits_for_the_disk_and_others_see_it_at_once(engines, tmp_path):
    path = tmp_path / "runs.db"
    with engines.create_engine(f"sqlite:///{path}").connect() as connection:
        connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
        assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 1
    write(engines, path, rows=3)
    plain = sqlite3.connect(path)
    assert plain.execute("SELECT count(*) FROM events").fetchone() == (3,)
    plain.close()


def test_only_some_databases_are_kept_open(engines, tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(MOST_OPEN + 5)]
    for path in paths:
        write(engines, path)
    assert list(engines._kept) == [str(path) for path in paths[5:]]
    assert [count(engines, path) for path in paths] == [1] * len(paths)


def test_a_database_made_anew_under_the_same_name_is_another(engines, tmp_path):
    path = tmp_path / "index.db"
    write(engines, path, rows=5)
    path.unlink()
    write(engines, path, rows=2)
    assert count(engines, path) == 2


def test_threads_write_one_database_at_a_time_and_nothing_is_lost(engines, tmp_path):
    path = tmp_path / "index.db"
    write(engines, path)
    threads = [threading.Thread(target=write, args=(engines, path, 20)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(engines, path) == 81


def test_dagster_takes_all_its_engines_from_here(tmp_path):
    """When Dagster renames what ``quicken`` replaces, runs would only be slow; this says so."""
    quicken()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("dataset", ["a"])
        assert instance.has_dynamic_partition("dataset", "a")
        assert instance.get_runs() == []
        assert instance.all_instigator_state() == []
        kept = {Path(path).name for path in sqlite_event_log.create_engine.__self__._kept if str(tmp_path) in path}
    assert kept == {"index.db", "runs.db", "schedules.db"}
