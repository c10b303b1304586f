"""Writes VOC from VOC: the files of the kept items as they stand, and the image sets without the others.

Datumaro's own exporter leaves out body parts and turns actions into texts, so a VOC dataset is not sent through it; any
other becomes VOC by ``espalier.io.formats.write.datumaro_writer``.
"""

from collections.abc import Container
from pathlib import Path

from espalier.core.errors import EspalierError
from espalier.io.files.listing import walk
from espalier.io.formats.read.datumaro_reader import DatumaroReader
from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file

TASKS = ("classification", "detection", "segmentation", "instance_segmentation", "layout", "action")
NAMES = ("voc", *(f"voc_{task}" for task in TASKS))
_SETS = "ImageSets"
_PICTURES = "JPEGImages"
_FOLDERS = ("Annotations", _PICTURES, "SegmentationClass", "SegmentationObject")
_TOP = ("labelmap.txt", "dataset_meta.json")


def write_voc(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept items' files; see ``espalier.io.formats.write.base.Writer``."""
    reader, wanted = DatumaroReader(subset.card, subset.source), subset.ids()
    all_items = list(reader.items())
    kept = {(item.subset, item.id): key for key, item in all_items if key in wanted}
    ids, subsets = {item_id for _, item_id in kept}, {item.subset for _, item in all_items}
    pictures: dict[str, str] = {}
    for entry in walk(reader.uri):
        place, name = _split(entry.path)
        if entry.error is not None:
            continue
        if place == _SETS and name.endswith(".txt"):
            _filter(Path(entry.uri), inside(folder, entry.path), subsets, kept.keys())
        elif place in _FOLDERS and _stem(name) in ids:
            put_file(entry.uri, inside(folder, entry.path), link=link and place == _PICTURES)
            if place == _PICTURES:
                pictures[_stem(name)] = entry.path
                progress(1)
        elif entry.path in _TOP:
            put_file(entry.uri, inside(folder, entry.path), link=False)
    lost = sorted(ids - pictures.keys())
    if lost:
        raise EspalierError(f"The picture of {lost[0]!r} is not in {_PICTURES}.", "Write another format with --format.")
    return Written({key: pictures[item_id] for (_, item_id), key in kept.items()})


def _split(path: str) -> tuple[str, str]:
    """Return the VOC folder that a path is in, and the path below it."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts[:-1]) if part == _SETS or part in _FOLDERS), None)
    return ("", path) if at is None else (parts[at], "/".join(parts[at + 1 :]))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if "." in name.rsplit("/", 1)[-1] else name


def _filter(source: Path, target: Path, subsets: set[str], kept: Container[tuple[str, str]]) -> None:
    """Copy the lines of an image set that are about kept items of its subset."""
    named = [s for s in subsets if source.stem == s] or [s for s in subsets if source.stem.endswith(f"_{s}")]
    subset = max(named, key=len, default=source.stem)
    lines = source.read_text("utf-8").splitlines()
    target.write_text("".join(f"{line}\n" for line in lines if (subset, _first(line)) in kept), "utf-8")


def _first(line: str) -> str:
    """Return the id that a line begins with; one with blanks stands in quotes."""
    line = line.strip()
    if line.startswith('"'):
        return line[1:].partition('"')[0]
    return line.partition(" ")[0]
