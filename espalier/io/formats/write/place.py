"""How an export gets to its place: written beside it, swapped in when whole, the old one removed last.

A reader of the target sees nothing, the old folder or the new one, never a part; a process that is killed leaves at
most a hidden folder beside the target, which the next export removes.
"""

import os
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from espalier.core.errors import EspalierError
from espalier.io.atomic import put, recover, remove, remove_leftovers, sync, temporary
from espalier.io.formats.write.base import Progress, Subset, Writer, Written
from espalier.io.formats.write.refusals import check_target
from espalier.io.warehouse.store import recipe_file

SYNCED_AT_A_TIME = 16


@dataclass(frozen=True)
class StagedExport:
    """A folder that is whole but not yet in its place; ``overwrite`` lets it replace what is at the target."""

    folder: Path
    target: Path
    overwrite: bool

    def commit(self) -> None:
        """Swap it in, then remove what it replaces."""
        check_target(self.target, overwrite=self.overwrite)
        _sync_all(self.folder)
        put(self.folder, self.target)

    def discard(self) -> None:
        """Throw it away; what stands at the target stays."""
        remove(self.folder)


def begin(target: Path) -> Path:
    """Make an empty folder beside ``target``, and remove what killed exports left there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        remove_leftovers(target.parent, target.name)
        folder = temporary(target)
        folder.mkdir()
    except OSError as error:
        raise EspalierError(f"Cannot write beside {target}: {error.strerror}.", "Choose another with -o.") from error
    return folder


def stage_export(
    subset: Subset, write: Writer, target: Path, *, link: bool, overwrite: bool, progress: Progress
) -> tuple[StagedExport, Written]:
    """Write a subset beside ``target``, where ``commit`` puts it; return the whole folder and what is in it.

    Nothing is left when the target is taken or something cannot be written.
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
