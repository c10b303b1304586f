"""Which folders an export may be written to, and which it may replace."""

import os
import re
from collections.abc import Container, Iterable
from pathlib import Path

from espalier.core.errors import UsageError
from espalier.io.files.listing import SUCCESS, is_pattern, local_path
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, suffix
from espalier.io.formats.read.lists import METADATA
from espalier.io.formats.read.webdataset import CLASS_FILES
from espalier.io.landing.cards import Card

_WORDS = re.compile(r"[^a-zA-Z0-9]+")
_PACKED = re.compile(r"(?:tar|parquet|arrow):(.+)#\d+[+&]", re.DOTALL)


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
