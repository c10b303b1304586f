"""In-memory DuckDB instances for reading stored files, used again: making one costs ten times what attaching costs.

Here lives lending them out. Every reader has an instance to itself, so what one attaches or names is never seen by
another, and the same file may be read in several places at a time, also after a newer one took its name.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

MOST_IDLE = 4

_idle: list[duckdb.DuckDBPyConnection] = []
_lock = threading.Lock()


@contextmanager
def attached(files: Mapping[str, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection with some files attached read-only; temporary tables and views end with the block.

    Parameters
    ----------
    files : mapping of str to Path
        DuckDB files by the names that they have as databases.

    Raises
    ------
    duckdb.Error
        When a file is no readable database.
    """
    with _lock:
        instance = _idle.pop() if _idle else duckdb.connect()
    names: list[str] = []
    connection = instance.cursor()
    try:
        for name, path in files.items():
            connection.execute(f"ATTACH {quoted(path)} AS {name} (READ_ONLY)")
            names.append(name)
        yield connection
    finally:
        connection.close()
        _take_back(instance, names)


def _take_back(instance: duckdb.DuckDBPyConnection, names: list[str]) -> None:
    """Detach what was attached and keep the instance, or close it where somebody still reads from it."""
    try:
        for name in names:
            instance.execute(f"DETACH {name}")
    except duckdb.Error:
        instance.close()
        return
    with _lock:
        if len(_idle) < MOST_IDLE:
            _idle.append(instance)
            return
    instance.close()


def quoted(text: str | Path) -> str:
    """Return a text as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"
