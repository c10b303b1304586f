"""Makes Dagster's SQLite databases quick: a run writes some 150 events, which would make two engines each.

Dagster makes a SQLAlchemy engine for every single statement: it opens a connection, compiles the SQL anew, and the
last connection to close folds the write-ahead log back into the database. Here the same engines are kept, a few at a
time, with a connection each. Not here: the warehouse (``resources.warehouse``), which has nothing to do with SQLite.

What else differs is one setting, ``synchronous=NORMAL``: no write waits for the disk. A killed process loses nothing;
after a power failure the last events of a run may be missing, never the database, and no manifest: those are
synchronised by the warehouse itself. The write-ahead log is on from the first statement, not once all tables are made.
"""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage import sql
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import QueuePool

SETTINGS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"
MOST_OPEN = 8
"""Databases kept open at a time; each run has one of its own."""


class _KeptPool(QueuePool):
    """A pool whose connections outlive ``Engine.dispose``, which Dagster calls after each event."""

    def dispose(self) -> None:
        """Do nothing; ``close`` ends the connections."""

    def recreate(self) -> "_KeptPool":
        """Return the pool itself, since it was not disposed of."""
        return self

    def close(self) -> None:
        """Close the idle connections; one in use is closed when it comes back."""
        super().dispose()


@dataclass
class _Kept:
    engine: Engine
    inode: int | None  # None until the database has been made

    def close(self) -> None:
        pool = self.engine.pool
        assert isinstance(pool, _KeptPool)
        pool.close()


class Engines:
    """The engines of the databases that were used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def create_engine(self, url: str, **options: Any) -> Engine:
        """Return the engine of a SQLite file, made at its first use; what the caller says of pools is left out."""
        path = make_url(url).database or ""
        inode = os.stat(path).st_ino if os.path.exists(path) else None  # noqa: PTH110, PTH116 - this is the hot path
        with self._lock:
            kept = self._kept.get(path)
            if kept and kept.inode is None:
                kept.inode = inode
            if kept and kept.inode != inode:  # removed, or made anew under the same name
                self._kept.pop(path).close()
                kept = None
            if kept is None:
                kept = self._kept[path] = _Kept(_engine(url, options), inode)
            self._kept.move_to_end(path)
            while len(self._kept) > MOST_OPEN:
                self._kept.popitem(last=False)[1].close()
        return kept.engine


def _engine(url: str, options: dict[str, Any]) -> Engine:
    options = options | {"poolclass": _KeptPool, "pool_size": 1, "max_overflow": -1}
    engine = _make_engine(url, **options)
    event.listen(engine, "connect", lambda connection, _: connection.executescript(SETTINGS))
    return engine


_make_engine = sql.create_engine
_read_scripts = ScriptDirectory.from_config
_scripts: dict[str, ScriptDirectory] = {}


def _scripts_of(config: Any) -> ScriptDirectory:
    """Read the two hundred files of Dagster's database versions once a process, not twice a database."""
    place = config.get_main_option("script_location")
    if place != sql.ALEMBIC_SCRIPTS_LOCATION:
        return _read_scripts(config)
    if place not in _scripts:
        _scripts[place] = _read_scripts(config)
    return _scripts[place]


@cache
def quicken() -> None:
    """Let Dagster's three SQLite storages use kept engines from now on; calling it again does nothing."""
    engines = Engines()
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.create_engine = engines.create_engine  # type: ignore[attr-defined]
    ScriptDirectory.from_config = staticmethod(_scripts_of)  # type: ignore[method-assign, assignment]
