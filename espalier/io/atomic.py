"""Files written beside their place: how they are named, and how those of killed writers are recognised.

A writer makes ``.<name>.<process>.<random>`` (a folder) or ``.<name>.<process>.<random>.tmp`` (a file) and renames it
when it is whole. What a process left that has ended may be removed by anyone. Of one that cannot be judged from here
(on another host, in another container, before this machine was started again) it may be removed once nothing in it was
written for a week: no writer pauses that long, and if one did, its rename would fail and what is stored would stay.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from espalier.io.processes import Process

_OURS = re.compile(r"\.(?P<name>.+)\.(?P<writer>[0-9a-f-]+)\.[0-9a-f]{8}(?:\.(?:tmp|link|tmp\.wal))?", re.DOTALL)
ABANDONED_S = 7 * 24 * 3600.0


def beside(target: Path, name: str, suffix: str = "") -> Path:
    """Return a fresh path in the folder of ``target`` for a piece called ``name``; suffix '', '.tmp' or '.link'."""
    return target.with_name(f".{name}.{Process.current()}.{uuid.uuid4().hex[:8]}{suffix}")


def remove_leftovers(folder: Path, name: str, spare: Path | None = None) -> None:
    """Remove from ``folder`` the pieces called exactly ``name`` whose writer is gone, but never ``spare``."""
    for path in folder.iterdir():
        piece = _OURS.fullmatch(path.name)
        if piece is None or piece["name"] != name or path.name == (spare and spare.name):
            continue
        if not _is_left(path, piece["writer"]):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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
