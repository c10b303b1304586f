"""Writes image folders, VOC and CVAT from the same: the files of what is kept as they stand.

A class of which nothing is kept has no folder in an image folder: Datumaro and torchvision refuse empty ones. VOC's
image sets are written without the other items, CVAT's XML without the other images and frames of tracks. Neither is
sent through Datumaro's own exporters: VOC's leaves out body parts and turns actions into texts, CVAT's leaves out
shapes without a label, turns numbers into texts and forgets the tracks of videos. Any other dataset becomes VOC or CVAT
by ``espalier.io.formats.write.datumaro_writer``.
"""

import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.core.errors import EspalierError
from espalier.io.files.listing import walk
from espalier.io.formats.read.datumaro_reader import DatumaroReader
from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PICTURES = "JPEGImages"
_FOLDERS = ("ImageSets", "Annotations", _PICTURES, "SegmentationClass", "SegmentationObject")
_TOP = ("labelmap.txt", "dataset_meta.json")


def write_image_folder(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Put every kept picture at its sample id, which is its path; see ``espalier.io.formats.write.base.Writer``."""
    return _at_paths(subset, {i: i for i in subset.rows["sample_id"].to_pylist()}, folder, link, progress)


def write_cvat(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept images and frames; see ``espalier.io.formats.write.base.Writer``."""
    reader, wanted = DatumaroReader(subset.card, "cvat"), subset.ids()
    frames = {(item.subset, int(item.attributes["frame"])) for key, item in reader.items() if key in wanted}
    for entry in walk(reader.uri):
        if entry.path.endswith(".xml"):
            _copy_frames(Path(entry.uri), inside(folder, entry.path), frames)
    root = os.path.abspath(reader.uri)  # noqa: PTH100 - as the reader's uris are
    columns = (subset.rows[name].to_pylist() for name in ("sample_id", "uri"))
    paths = {sample_id: str(Path(uri).relative_to(root)) for sample_id, uri in zip(*columns, strict=True)}
    return _at_paths(subset, paths, folder, link, progress)


def _at_paths(subset: Subset, paths: dict[str, str], folder: Path, link: bool, progress: Progress) -> Written:
    for uri, path in zip(subset.rows["uri"].to_pylist(), paths.values(), strict=True):
        put_file(uri, inside(folder, path), link=link)
        progress(1)
    return Written(paths)


def _copy_frames(source: Path, target: Path, frames: set[tuple[str, int]]) -> None:
    """Copy one XML without the images and the shapes of tracks whose frame is not kept."""
    from defusedxml import ElementTree

    try:
        tree = ElementTree.parse(source)
    except (OSError, ElementTree.ParseError) as error:
        raise EspalierError(f"{source} cannot be read: {error}.", "Check it and prune again.") from error

    def is_kept(owner: "Element", frame: str | None) -> bool:
        # The subset is written on the image or track, or else is the file's name.
        return (owner.get("subset") or source.stem, int(frame or 0)) in frames

    root = tree.getroot()
    for image in root.findall("image"):
        if not is_kept(image, image.get("id")):
            root.remove(image)
    for track in root.findall("track"):
        for shape in [s for s in track if s.get("frame") is not None]:
            if not is_kept(track, shape.get("frame")):
                track.remove(shape)
        if not len(track):
            root.remove(track)
    tree.write(target, encoding="utf-8", xml_declaration=True)


def write_voc(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept items' files; see ``espalier.io.formats.write.base.Writer``."""
    reader, wanted = DatumaroReader(subset.card, subset.source), subset.ids()
    items = list(reader.items())
    kept = {(item.subset, item.id): key for key, item in items if key in wanted}
    ids, subsets = {item_id for _, item_id in kept}, {item.subset for _, item in items}
    pictures: dict[str, str] = {}
    for entry in walk(reader.uri):
        place, name = _split(entry.path)
        if entry.error is not None:
            continue
        if place == "ImageSets":
            if name.endswith(".txt"):
                _copy_image_set(Path(entry.uri), inside(folder, entry.path), subsets, kept.keys())
        elif place and _stem(name) in ids:
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
    """Return the VOC folder that a path is in, '' for none, and the path below it."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts[:-1]) if part in _FOLDERS), None)
    return ("", path) if at is None else (parts[at], "/".join(parts[at + 1 :]))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if "." in name.rsplit("/", 1)[-1] else name


def _copy_image_set(source: Path, target: Path, subsets: set[str], kept: Container[tuple[str, str]]) -> None:
    """Copy the lines of an image set that are about kept items of its subset."""
    named = [s for s in subsets if source.stem == s] or [s for s in subsets if source.stem.endswith(f"_{s}")]
    subset = max(named, key=len, default=source.stem)
    lines = source.read_text("utf-8").splitlines()
    target.write_text("".join(f"{line}\n" for line in lines if (subset, _first(line)) in kept), "utf-8")


def _first(line: str) -> str:
    """Return the id that a line begins with; one with blanks stands in quotes."""
    line = line.strip()
    return line[1:].partition('"')[0] if line.startswith('"') else line.partition(" ")[0]
