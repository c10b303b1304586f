"""Files written beside their place: how they are named, and how those of killed writers are recognised.

A writer makes ``.<name>.<pid>.<random>`` (a folder) or ``.<name>.<pid>.<random>.tmp`` (a file) and renames it when it
is whole. What is left by a process that no longer runs may be removed by anyone.
"""

import os
import re
import shutil
import uuid
from pathlib import Path

_OURS = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.[0-9a-f]{8}(?:\.(?:tmp|link|tmp\.wal))?", re.DOTALL)


def beside(target: Path, name: str, suffix: str = "") -> Path:
    """Return a fresh path in the folder of ``target`` for a piece called ``name``; suffix '', '.tmp' or '.link'."""
    return target.with_name(f".{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}{suffix}")


def remove_leftovers(folder: Path, name: str, spare: Path | None = None) -> None:
    """Remove from ``folder`` the pieces called exactly ``name`` whose writer is gone, but never ``spare``."""
    for path in folder.iterdir():
        found = _OURS.fullmatch(path.name)
        if (
            found is None
            or found["name"] != name
            or path.name == (spare and spare.name)
            or is_running(int(found["pid"]))
        ):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file's or a folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_running(pid: int) -> bool:
    """Tell whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
