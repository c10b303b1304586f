"""Makes Dagster's SQLite databases quick: a run writes some 150 events, each by a connection of its own.

Here live two settings of every SQLite connection that SQLAlchemy opens in this process. Not here: the warehouse
(``resources.warehouse``), which has nothing to do with SQLite.

- ``synchronous=NORMAL``: in write-ahead mode no write waits for the disk. A killed process loses nothing; after a
  power failure the last events of a run may be missing, never the database, and no manifest: those are synchronised
  by the warehouse itself.
- One idle connection a database stays open: otherwise the last one to close folds the log back into the database
  and deletes it, once for each event.
"""

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from functools import cache
from typing import Any

MOST_OPEN = 8
"""Databases held open at a time; each run has one of its own."""


class _Held:
    """Idle connections to the databases that were used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, sqlite3.Connection] = OrderedDict()

    def hold(self, path: str) -> None:
        with self._lock:
            if path not in self._open:
                self._open[path] = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._open.move_to_end(path)
            # A connection joins the log at its first read; while the database is being made it may be locked.
            with contextlib.suppress(sqlite3.OperationalError):
                self._open[path].execute("PRAGMA schema_version").fetchone()
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].close()


@cache
def quicken() -> None:
    """Set every SQLite connection made from now on; calling it again does nothing."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    held = _Held()

    def opened(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("PRAGMA synchronous=NORMAL")
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if path:  # a database in memory has none
            held.hold(path)

    event.listen(Engine, "connect", opened)
