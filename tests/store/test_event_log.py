import sqlite3
import threading

import pytest

from resources.event_log import MOST_OPEN, _Held, quicken

sqlalchemy = pytest.importorskip("sqlalchemy", reason="Dagster brings it")


def engine(path):
    return sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.pool.NullPool)


def write(path, rows=1):
    with engine(path).begin() as connection:
        connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
        connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS events (x)"))
    for row in range(rows):
        with engine(path).begin() as connection:
            connection.execute(sqlalchemy.text(f"INSERT INTO events VALUES ({row})"))


def test_no_write_waits_for_the_disk_and_the_log_outlives_a_connection(tmp_path):
    quicken()
    path = tmp_path / "runs.db"
    write(path, rows=3)
    with engine(path).connect() as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 1
    assert path.with_name("runs.db-wal").stat().st_size > 0
    plain = sqlite3.connect(path)
    assert plain.execute("SELECT count(*) FROM events").fetchone() == (3,)
    plain.close()


def test_a_database_in_memory_is_left_alone():
    quicken()
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1


def test_only_some_databases_are_held_open(tmp_path):
    held = _Held()
    for number in range(MOST_OPEN + 5):
        held.hold(str(tmp_path / f"{number}.db"))
    assert list(held._open) == [str(tmp_path / f"{number}.db") for number in range(5, MOST_OPEN + 5)]


def test_threads_write_one_database_at_a_time_and_nothing_is_lost(tmp_path):
    quicken()
    path = tmp_path / "index.db"
    write(path)
    threads = [threading.Thread(target=write, args=(path, 20)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine(path).connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM events")).scalar() == 81
