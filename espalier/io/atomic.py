"""Files and folders that appear whole: written beside their place, renamed into it, recognised when a writer is killed.

What others read is put in its place here and nowhere else. A writer makes ``.<name>.<process>.<random>``, with ``.tmp``
or ``.link`` behind it, and renames it when it is whole. What a process left that has ended may be removed by anyone. Of
one that cannot be judged from here (on another host, in another container, before this machine was started again) it
may be removed once nothing in it was written for a week: no writer pauses that long, and if one did, its rename would
fail and what is stored would stay.
"""

import ctypes
import errno
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from espalier.io.processes import Process

_OURS = re.compile(r"\.(?P<name>.+)\.(?P<writer>[0-9a-f-]+)\.[0-9a-f]{8}(?:\.(?:tmp|link|tmp\.wal))?", re.DOTALL)
ABANDONED_S = 7 * 24 * 3600.0


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def temporary(target: Path, name: str = "", suffix: str = "") -> Path:
    """Return a fresh path in the folder of ``target``, for a piece called ``name`` [as it is]; suffix as above."""
    return target.with_name(f".{name or target.name}.{Process.current()}.{uuid.uuid4().hex[:8]}{suffix}")


@contextmanager
def written(target: Path, name: str = "") -> Iterator[Path]:
    """Lend a path as of ``temporary``: the file or folder made there takes its place when the block ends well."""
    remove_leftovers(target.parent, name or target.name)
    fresh = temporary(target, name, ".tmp")
    try:
        yield fresh
        sync(fresh)
        put(fresh, target)
    finally:
        remove(fresh)


@dataclass(frozen=True)
class Staged:
    """A file or folder that is whole but not yet in its place; without one (None), its place is to be empty."""

    fresh: Path | None
    target: Path

    def commit(self) -> None:
        """Put it in its place."""
        if self.fresh is None:
            remove(self.target)
        else:
            put(self.fresh, self.target)

    def discard(self) -> None:
        """Throw it away; what stands in its place stays."""
        if self.fresh is not None:
            remove(self.fresh)


def put(fresh: Path, target: Path) -> None:
    """Give what is whole its name, in one step; what had the name goes.

    A folder changes places with the old one. Where the file system cannot do that, the old one is set aside first, and
    ``recover`` brings it back after an interruption.
    """
    if target.is_dir() and not target.is_symlink():
        if not _exchange(fresh, target):
            recover(target)
            target.rename(_aside(target))
            fresh.rename(target)
            fresh = _aside(target)
        sync(target.parent)
        remove(fresh)
        return
    fresh.replace(target)
    sync(target.parent)


def recover(target: Path) -> None:
    """Put back, or remove, a folder that was set aside when its replacement was interrupted."""
    aside = _aside(target)
    if aside.is_dir() and target.exists():
        shutil.rmtree(aside)
    elif aside.is_dir():
        aside.rename(target)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there; of a folder what can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str, spare: Path | None = None) -> None:
    """Remove from ``folder`` the pieces called exactly ``name`` whose writer is gone, but never ``spare``."""
    for path in folder.iterdir():
        piece = _OURS.fullmatch(path.name)
        if piece is None or piece["name"] != name or path.name == (spare and spare.name):
            continue
        if _is_left(path, piece["writer"]):
            remove(path)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced-by-espalier")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step, by the system call that Python has no name for; False where there is none.

    A reader never misses the folder: two renames hide it from a thousand looks and more in 2,000 replacements, this
    from none (benchmarks/bench_replace.py). Nor can the process be killed between the two.
    """
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    code = ctypes.get_errno()
    if done != 0 and code not in _NO_EXCHANGE:
        raise OSError(code, os.strerror(code), str(other))
    return bool(done == 0)


def _is_left(path: Path, writer: str) -> bool:
    process = Process.parse(writer)
    gone = process.is_gone() if process else None
    return max(_written(path)) < time.time() - ABANDONED_S if gone is None else gone


def _written(path: Path) -> Iterator[float]:
    """Give the times at which a piece, and what is in it, was written."""
    try:
        yield path.lstat().st_mtime
        for folder, below, names in os.walk(path):
            yield from (Path(folder, name).lstat().st_mtime for name in [*below, *names])
    except FileNotFoundError:
        yield time.time()  # somebody is at it


def sync(path: Path) -> None:
    """Bring a file's or a folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
