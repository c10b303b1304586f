"""Which folders an export may be written to and which it may replace, and how it gets there.

It is written beside its place, swapped in when whole, and the old one removed last. A reader of the target sees
nothing, the old folder or the new one, never a part; a process that is killed leaves at most a hidden folder beside the
target, which the next export removes.
"""

import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from espalier.core.errors import EspalierError, UsageError
from espalier.io.atomic import put, recover, remove, remove_leftovers, sync, temporary
from espalier.io.files.listing import SUCCESS, is_pattern, local_path
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, suffix
from espalier.io.formats.read.lists import METADATA
from espalier.io.formats.read.webdataset import CLASS_FILES
from espalier.io.formats.write.base import Progress, Subset, Writer, Written
from espalier.io.landing.cards import Card
from espalier.io.warehouse.store import recipe_file

SYNCED_AT_A_TIME = 16
_WORDS = re.compile(r"[^a-zA-Z0-9]+")
_PACKED = re.compile(r"(?:tar|parquet|arrow):(.+)#\d+[+&]", re.DOTALL)


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


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that is a file or a link, or a folder that is not empty and may not be replaced."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is not a folder.", "Choose another with -o.")
    if target.is_dir() and not overwrite and any(target.iterdir()):
        raise UsageError(f"{target} is not empty.", "Choose another with -o, or replace it with --overwrite.")


def check_source(card: Card, target: Path) -> None:
    """Refuse a target that is the data itself, lies in it, or holds it: it would change what it is made of."""
    local = _local(card)
    if local is None:
        return
    source, place = (Path(os.path.realpath(path)) for path in (local, target))
    if source.is_relative_to(place) or place.is_relative_to(source):
        raise UsageError(
            f"{target} and the data at {local} lie in each other.",
            "Choose another folder, or say --in-place --overwrite.",
        )


def _local(card: Card) -> Path | None:
    return None if is_pattern(card.uri) else local_path(card.uri)


def own_folder(card: Card, format_name: str) -> Path:
    """Return the folder of a dataset that is to be replaced by a subset of it.

    It has to be a local folder, without what an export does not carry over: a hidden file, or one that is no sample's.
    """
    local = _local(card)
    if local is None or not local.is_dir() or local.is_symlink():
        raise UsageError(f"{card.uri} is no local folder and cannot be replaced.", "Write elsewhere with -o.")
    allowed = {"image_folder": IMAGE_EXTENSIONS, "webdataset": {".tar"}}.get(format_name)
    for _, below, names in os.walk(local):
        lost = [name for name in sorted([*below, *names]) if name.startswith(".")]
        if allowed:
            lost += [n for n in sorted(names) if suffix(n) not in allowed and n not in CLASS_FILES]
        if lost:
            raise UsageError(
                f"{local} holds {lost[0]}, which the format {format_name} does not carry over.",
                "Move it away, or write elsewhere with -o.",
            )
    return local


def check_replacement(source: Path, uris: Iterable[str], fresh: Path, gone: Container[str] = ()) -> None:
    """Refuse to replace the folder ``source`` by the export ``fresh`` that lacks anything but samples of it.

    A file may be missing that is a sample (``uris`` are those of all, kept or not), holds some, or is named like one (a
    label file, a mask), or like a subset that is ``gone``: one of which nothing is kept (``instances_train.json``).
    """
    paths = {packed[1] if (packed := _PACKED.match(uri)) else uri for uri in uris}
    stems = {Path(path).stem for path in paths}
    lost = []
    for root, _, names in os.walk(source):
        for name in names:
            path = Path(root, name)
            known = str(path) in paths or path.stem in stems or name in (SUCCESS, *METADATA)
            known = known or any(word in gone for word in _WORDS.split(path.stem))
            if not known and not (fresh / path.relative_to(source)).exists():
                lost.append(str(path.relative_to(source)))
    if lost:
        listed = ", ".join(sorted(lost)[:3]) + (", ..." if len(lost) > 3 else "")
        raise UsageError(f"The export does not carry over {listed}.", "Move that away, or write elsewhere with -o.")
