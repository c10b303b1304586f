"""In-memory DuckDB instances, used again: making one costs ten times what attaching a file to it costs.

Here lives lending them out, to read stored files or to write a new one. Every borrower has an instance to itself, so
what one attaches, names or sets is never seen by another, and the same file may be read in several places at a time,
also after a newer one took its name. What does not fit in memory is put aside beside the files, where there is room.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from espalier.io.atomic import temporary

MOST_IDLE = 4
MEMORY = "40%"
"""Of the machine's memory, for each instance: one that writes reads from another, and there is more than these two."""

_idle: list[duckdb.DuckDBPyConnection] = []
_lock = threading.Lock()


@contextmanager
def attached(files: Mapping[str, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection with some files, by name, attached read-only; temporary tables and views end with the block."""
    with _lent(next(iter(files.values()), None)) as (instance, connection, names):
        for name, path in files.items():
            instance.execute(f"ATTACH {quoted(path)} AS {name} (READ_ONLY)")
            names.append(name)
        yield connection


@contextmanager
def created(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection to a new database at ``path``; at the end of the block all of it is in that one file.

    When it cannot be written, the half-written file and its log stay for the caller to remove.
    """
    with _lent(path) as (instance, connection, names):
        instance.execute(f"ATTACH {quoted(path)} AS made")
        names.append("made")
        connection.execute("USE made")
        yield connection
        instance.execute("CHECKPOINT made")


@contextmanager
def _lent(near: Path | None) -> Iterator[tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection, list[str]]]:
    """Lend an instance, a connection to it, and the list of what is to be detached at the end."""
    aside = temporary(near, near.stem) if near else None
    instance = _instance(aside)
    names: list[str] = []
    connection = instance.cursor()
    try:
        yield instance, connection, names
    finally:
        connection.close()
        _take_back(instance, names, aside)


def _instance(aside: Path | None) -> duckdb.DuckDBPyConnection:
    """Return an idle instance or a new one, which puts rows aside in a folder; one that did so before cannot switch."""
    while True:
        with _lock:
            idle = _idle.pop() if _idle else None
        instance = idle or duckdb.connect(config={"memory_limit": MEMORY})
        try:
            if aside is not None:
                instance.execute(f"SET temp_directory = {quoted(aside)}")
        except duckdb.Error:
            instance.close()
            if idle is None:
                raise
        else:
            return instance


def _take_back(instance: duckdb.DuckDBPyConnection, names: list[str], aside: Path | None) -> None:
    """Detach what was attached and keep the instance; close it where somebody reads on, or it put rows aside."""
    try:
        for name in names:
            instance.execute(f"DETACH {name}")
        instance.execute("RESET force_compression")
    except duckdb.Error:
        instance.close()
        return
    with _lock:
        if len(_idle) < MOST_IDLE and not (aside and aside.exists()):
            _idle.append(instance)
            return
    instance.close()


def quoted(text: str | Path) -> str:
    """Return a text as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"
