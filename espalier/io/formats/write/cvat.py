"""Writes CVAT from CVAT: its XML as it stands, with the images and the frames of tracks that are kept.

Datumaro's own exporter leaves out shapes without a label, turns numbers into texts and forgets the tracks of videos,
so a CVAT dataset is not sent through it; any other becomes CVAT by ``espalier.io.formats.write.datumaro_writer``.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.core.errors import EspalierError
from espalier.io.files.listing import walk
from espalier.io.formats.read.datumaro_reader import DatumaroReader
from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_Frames = set[tuple[str, int]]


def write_cvat(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept images and frames; see ``espalier.io.formats.write.base.Writer``."""
    reader = DatumaroReader(subset.card, "cvat")
    root = Path(os.path.abspath(reader.uri))  # noqa: PTH100 - as the reader's uris are
    wanted, files = subset.ids(), {}  # type: set[str], dict[str, str]
    frames = {(item.subset, int(item.attributes["frame"])) for key, item in reader.items() if key in wanted}
    for entry in walk(reader.uri):
        if entry.path.endswith(".xml"):
            _filter(Path(entry.uri), inside(folder, entry.path), frames)
    for sample_id, uri in zip(subset.rows["sample_id"].to_pylist(), subset.rows["uri"].to_pylist(), strict=True):
        name = str(Path(uri).relative_to(root))
        put_file(uri, inside(folder, name), link=link)
        files[sample_id] = name
        progress(1)
    return Written(files)


def _filter(source: Path, target: Path, frames: _Frames) -> None:
    """Copy one XML without the images and the shapes of tracks whose frame is not kept."""
    from defusedxml import ElementTree

    try:
        tree = ElementTree.parse(source)
    except (OSError, ElementTree.ParseError) as error:
        raise EspalierError(f"{source} cannot be read: {error}.", "Check it and prune again.") from error
    root = tree.getroot()
    for image in root.findall("image"):
        if not _kept(image, image.get("id"), source.stem, frames):
            root.remove(image)
    for track in root.findall("track"):
        for shape in [s for s in track if s.get("frame") is not None]:
            if not _kept(track, shape.get("frame"), source.stem, frames):
                track.remove(shape)
        if not len(track):
            root.remove(track)
    tree.write(target, encoding="utf-8", xml_declaration=True)


def _kept(owner: "Element", frame: str | None, stem: str, frames: _Frames) -> bool:
    """Tell whether a frame is kept; its subset is written on it, or else is the file's name."""
    return (owner.get("subset") or stem, int(frame or 0)) in frames
