"""How an export gets to its place: written beside it, swapped in when whole, the old one removed last.

A reader of the target sees nothing, the old folder or the new one, never a part; a process that is killed leaves at
most a hidden folder beside the target, which the next export removes.
"""

import ctypes
import errno
import os
import shutil
import sys
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from espalier.core.errors import EspalierError
from espalier.io.atomic import beside, remove_leftovers, sync
from espalier.io.formats.write.base import Progress, Subset, Writer, Written
from espalier.io.formats.write.refusals import check_target
from espalier.io.warehouse.store import recipe_file

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
SYNCED_AT_A_TIME = 16
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@dataclass(frozen=True)
class StagedExport:
    """A folder that is whole but not yet in its place.

    Attributes
    ----------
    folder, target : Path
        Where it is, and where it goes.
    overwrite : bool
        Whether what is at the target may be replaced.
    """

    folder: Path
    target: Path
    overwrite: bool

    def commit(self) -> None:
        """Swap it in, then remove what it replaces."""
        check_target(self.target, overwrite=self.overwrite)
        _sync_all(self.folder)
        if self.target.exists():
            _replace(self.folder, self.target)
        else:
            self.folder.rename(self.target)
        sync(self.target.parent)

    def discard(self) -> None:
        """Throw it away; what stands at the target stays."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begin(target: Path) -> Path:
    """Make an empty folder beside ``target``, and remove what killed exports left there.

    Raises
    ------
    EspalierError
        When it cannot be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        remove_leftovers(target.parent, target.name)
        folder = beside(target, target.name)
        folder.mkdir()
    except OSError as error:
        raise EspalierError(f"Cannot write beside {target}: {error.strerror}.", "Choose another with -o.") from error
    return folder


def stage_export(
    subset: Subset, write: Writer, target: Path, *, link: bool, overwrite: bool, progress: Progress
) -> tuple[StagedExport, Written]:
    """Write a subset beside ``target``; ``commit`` puts it there.

    Returns
    -------
    tuple of StagedExport and Written
        The whole folder, and what is in it.

    Raises
    ------
    EspalierError
        When the target is taken or something cannot be written; nothing is left then.
    """
    check_target(target, overwrite=overwrite)
    staged = StagedExport(begin(target), target, overwrite)
    try:
        return staged, write(subset, staged.folder, link=link, progress=progress)
    except BaseException as error:
        staged.discard()
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise EspalierError(
                f"{target} cannot be written: {why}.", "Make room, or choose another with -o."
            ) from error
        raise


def recover(target: Path) -> None:
    """Put back, or remove, a folder that was set aside when its replacement was interrupted."""
    aside = _aside(target)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    elif aside.is_dir():
        shutil.rmtree(aside)


def _replace(fresh: Path, target: Path) -> None:
    """Let two folders change places in one step; where the file system has none, set the old one aside first."""
    old = fresh
    if not _exchange(fresh, target):
        recover(target)
        old = _aside(target)
        target.rename(old)
        fresh.rename(target)
    sync(target.parent)
    shutil.rmtree(old)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced-by-espalier")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step, by the system call that Python has no name for; False where there is none.

    A reader never misses the folder: two renames hide it from a thousand looks and more in 2,000 replacements, this
    from none (benchmarks/bench_replace.py). Nor can the process be killed between the two.
    """
    library = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    rename = getattr(library, "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    code = ctypes.get_errno()
    if done != 0 and code not in _NO_EXCHANGE:
        raise OSError(code, os.strerror(code), str(other))
    return bool(done == 0)


def _sync_all(folder: Path) -> None:
    """Bring all files and folders to the disk, several at a time; what links point to is not ours."""
    inside = (Path(root, name) for root, _, names in os.walk(folder) for name in (".", *names))
    with ThreadPool(SYNCED_AT_A_TIME) as pool:
        for _ in pool.imap_unordered(sync, (path for path in inside if not path.is_symlink()), chunksize=64):
            pass


def default_target(home: Path, dataset: str, recipe: str) -> Path:
    """Return where an export goes when nobody says where: ``exports/<dataset>/<recipe>`` in the home."""
    return home / "exports" / dataset / recipe_file(recipe)


def file_facts(folder: Path) -> tuple[int, int]:
    """Return how many files there are below a folder, and their bytes."""
    sizes = [Path(root, name).stat().st_size for root, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)
