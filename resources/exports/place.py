"""How an export gets to its place: written beside it, swapped in when whole, the old one removed last.

A reader of the target sees nothing, the old folder or the new one, never a part; a process that is killed leaves at
most a hidden folder beside the target, which the next export removes.
"""

import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from espalier.errors import EspalierError, UsageError
from resources.cards import Card
from resources.exports.base import Progress, Subset, Writer, Written
from resources.formats.base import IMAGE_EXTENSIONS
from resources.formats.lists import METADATA
from resources.formats.webdataset import CLASS_FILES
from resources.leftovers import beside, remove_leftovers, sync
from resources.listing import SUCCESS, is_pattern, local_path
from resources.warehouse.store import recipe_file

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_PACKED = re.compile(r"(?:tar|parquet|arrow):(.+)#\d+[+&]", re.DOTALL)
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


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that something is at.

    Raises
    ------
    UsageError
        When it is a file or a link, or a folder that is not empty and may not be replaced.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is not a folder.", "Choose another with -o.")
    if target.is_dir() and not overwrite and any(target.iterdir()):
        raise UsageError(f"{target} is not empty.", "Choose another with -o, or replace it with --overwrite.")


def check_source(card: Card, target: Path) -> None:
    """Refuse a target that is the data itself, lies in it, or holds it.

    Raises
    ------
    UsageError
        Such a target would change the dataset that it is made of.
    """
    local = None if is_pattern(card.uri) else local_path(card.uri)
    if local is None:
        return
    source, place = Path(os.path.realpath(local)), Path(os.path.realpath(target))
    if place == source or source in place.parents or place in source.parents:
        raise UsageError(
            f"{target} and the data at {local} lie in each other.",
            "Choose another folder, or say --in-place --overwrite.",
        )


def own_folder(card: Card, format_name: str) -> Path:
    """Return the folder of a dataset that is to be replaced by a subset of it.

    Raises
    ------
    UsageError
        When it is no local folder of its own, or holds what an export does not carry over.
    """
    local = None if is_pattern(card.uri) else local_path(card.uri)
    if local is None or not local.is_dir() or local.is_symlink():
        raise UsageError(f"{card.uri} is no local folder and cannot be replaced.", "Write elsewhere with -o.")
    lost = _not_carried(local, format_name)
    if lost:
        raise UsageError(
            f"{local} holds {lost}, which the format {format_name} does not carry over.",
            "Move it away, or write elsewhere with -o.",
        )
    return local


def _not_carried(folder: Path, format_name: str) -> str:
    """Return a file that an export would leave out though it is no sample's, '' when there is none."""
    allowed = {"image_folder": IMAGE_EXTENSIONS, "webdataset": frozenset({".tar"})}.get(format_name)
    for _, below, names in os.walk(folder):
        for name in sorted([*below, *names]):
            if name.startswith("."):
                return name
        for name in sorted(names):
            if allowed and Path(name).suffix.lower() not in allowed and name not in CLASS_FILES:
                return name
    return ""


def check_replacement(source: Path, uris: Iterable[str], fresh: Path) -> None:
    """Refuse to replace a dataset's folder by an export that lacks anything but samples of it.

    Parameters
    ----------
    source, fresh : Path
        The folder as it is, and the export that is to take its place.
    uris : iterable of str
        Of every sample of the dataset, kept or not.

    Raises
    ------
    UsageError
        When a file of ``source`` is not in ``fresh``, is no sample, holds none, and is not named like one (a label
        file, a mask); names up to three.
    """
    paths = {found[1] if (found := _PACKED.match(uri)) else uri for uri in uris}
    stems = {Path(path).stem for path in paths}
    lost = []
    for root, _, names in os.walk(source):
        for name in names:
            path = Path(root, name)
            known = str(path) in paths or path.stem in stems or name == SUCCESS or name in METADATA
            if not known and not (fresh / path.relative_to(source)).exists():
                lost.append(str(path.relative_to(source)))
    if lost:
        raise UsageError(
            f"The export does not carry over {', '.join(sorted(lost)[:3])}{', ...' if len(lost) > 3 else ''}.",
            "Move that away, or write elsewhere with -o.",
        )


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
    if aside.is_dir() and target.exists():
        shutil.rmtree(aside)
    elif aside.is_dir():
        aside.rename(target)


def _replace(fresh: Path, target: Path) -> None:
    """Let two folders change places in one step; where the file system has none, set the old one aside first."""
    if _exchange(fresh, target):
        sync(target.parent)
        shutil.rmtree(fresh)
        return
    recover(target)
    aside = _aside(target)
    target.rename(aside)
    fresh.rename(target)
    sync(target.parent)
    shutil.rmtree(aside)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced-by-espalier")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically; False where that cannot be done."""
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


def _sync_all(folder: Path) -> None:
    """Bring all files to the disk: by one call for its file system where there is one, else file by file."""
    call = getattr(ctypes.CDLL(None), "syncfs", None)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call is not None and call(handle) == 0:
            return
    finally:
        os.close(handle)
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(root, name))
        sync(Path(root))


def default_target(home: Path, dataset: str, recipe: str) -> Path:
    """Return where an export goes when nobody says where: ``exports/<dataset>/<recipe>`` in the home."""
    return home / "exports" / dataset / recipe_file(recipe)


def file_facts(folder: Path) -> tuple[int, int]:
    """Return how many files there are below a folder, and their bytes."""
    sizes = [Path(root, name).stat().st_size for root, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)
