"""What conversions share: the kept samples of any source one after another, with their bytes, boxes and new names.

A conversion writes a format that is not the source's own. It has what every source has (key, subset, labels, caption,
uid, the picture's bytes as they are) and boxes: those of Datumaro's annotations, or the ``objects`` of tars, tables and
lists. What gets lost is counted in a ``Losses`` and told. Packed sources are read in their own order, so that each byte
is read once. Not here: any one target (``webdataset``, ``to_tables``, ``to_folders``, ``datumaro_writer``).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes, read_head
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, Objects, Reader, sorted_labels
from espalier.io.formats.read.datumaro_reader import DatumaroReader
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.read.webdataset import WebDataset
from espalier.io.formats.write.base import Subset
from espalier.io.formats.write.extra_columns import ExtraColumns
from espalier.io.landing.cards import Card

if TYPE_CHECKING:
    from datumaro import Annotation

_AT_ONCE = 32
_ANY_SIZE = 1 << 62  # headers are read here, no pixels
_THREADS = 8
_MAGIC = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png"}
_PLACE = r"^(?:tar|parquet|arrow):(?P<path>.+)#(?P<at>\d+)"
_EXTENSIONS = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif", "jpeg2000": "jp2"}


@dataclass(frozen=True, slots=True)
class Item:
    """One kept sample; ``data`` is empty for a text."""

    sample_id: str
    subset: str
    uri: str
    labels: tuple[str, ...]
    caption: str | None
    uid: str | None
    objects: Objects | None
    extra: Mapping[str, Any]
    data: bytes


class Losses(Counter[str]):
    """Counts what a format cannot hold, by what it is."""

    def notes(self, format_name: str, how: str = "does not hold") -> tuple[str, ...]:
        """Return one sentence, or none when nothing was lost."""
        lost = ", ".join(f"{count:,} {what}" for what, count in sorted(self.items()) if count)
        return (f"{format_name} {how}: {lost}.",) if lost else ()


class Source:
    """The kept samples of a subset, as ``rows`` in the order in which they are read, and what all of them together say.

    ``objects`` are boxes by sample id. ``shapes`` counts annotations of which conversions carry over the box only,
    ``losses`` those of which they carry over nothing. No sample is made of the ``extra_columns``.
    """

    def __init__(self, subset: Subset) -> None:
        self.subset = subset
        self.rows = in_source_order(subset.rows)
        refuse_clash(map(plain_name, pc.unique(self.rows["subset"]).to_pylist()), "subsets", "Rename one of them.")
        reader = open_reader(subset.card)
        self.objects, self.shapes, self.losses = _annotations(reader, subset)
        self.has_uid = "uid" in self.rows.column_names and self.rows["uid"].null_count < len(self.rows)
        self.has_caption = self.rows["caption"].null_count < len(self.rows)
        self.has_pictures = bool(pc.any(pc.not_equal(self.rows["uri"], "")).as_py())
        packed = pc.all(pc.match_substring_regex(self.rows["uri"], _PLACE)).as_py()
        self.extra_columns = ExtraColumns(reader, subset.ids(), packed=packed)
        self.most_labels = pc.max(pc.list_value_length(self.rows["labels"])).as_py() or 0

    def classes(self) -> list[str]:
        """Return the classes in the dataset's order, those of kept samples at the end if it did not know them."""
        labels = set(pc.unique(pc.list_flatten(self.rows["labels"])).to_pylist())
        known = list(dict.fromkeys(self.subset.categories))
        return known + sorted_labels(labels - set(known))

    def notes(self, format_name: str) -> tuple[str, ...]:
        """Say what a format with boxes does not hold of the annotations, and what stays behind of tables and tars."""
        boxes = self.shapes.notes(format_name, "holds as boxes only")
        left = left_behind(self.subset.card, self.extra_columns.left)
        return (*boxes, *self.losses.notes(format_name), *left)

    def items(self, wanted: Callable[[str], bool] = bool) -> Iterator[Item]:
        """Yield the samples, with the bytes of those whose uri is ``wanted``, read by threads."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in self.rows.to_batches(max_chunksize=_AT_ONCE):
                rows = batch.to_pylist()
                uris = (row["uri"] if wanted(row["uri"]) else "" for row in rows)
                blobs = list(pool.map(_bytes_of, uris, batch["sample_id"].to_pylist()))
                for row, data in zip(rows, blobs, strict=True):
                    labels = tuple(row["labels"] or ())
                    about = row["caption"], row.get("uid") or None, self.objects.get(row["sample_id"])
                    extra = self.extra_columns.of(row["sample_id"], row["uri"])
                    yield Item(row["sample_id"], row["subset"], row["uri"], labels, *about, extra, data)

    def kinds(self) -> set[str]:
        """Return the kinds of the pictures (``jpg``, ``png``, ``webp``, '' for any other), by their first bytes."""
        with ThreadPoolExecutor(_THREADS) as pool:
            kinds: set[str] = set()
            for batch in self.rows.to_batches(max_chunksize=1024):
                kinds.update(pool.map(_kind_of, filter(None, batch["uri"].to_pylist())))
            return kinds


def in_source_order(rows: pa.Table) -> pa.Table:
    """Return rows in the order of their files; those inside one file in the order of their places in it."""
    if not len(rows):
        return rows
    # A column of texts holds 2 GiB at most where its offsets have 32 bits.
    wide = [f.with_type(pa.large_string()) if pa.types.is_string(f.type) else f for f in rows.schema]
    rows = rows.cast(pa.schema(wide))
    place = pc.extract_regex(rows["uri"].combine_chunks(), _PLACE)
    path, at = (pc.struct_field(place, i) for i in (0, 1))
    keys = pa.table({"path": path, "at": pc.cast(at, pa.int64()), "id": rows["sample_id"]})
    return rows.take(pc.sort_indices(keys, [(name, "ascending") for name in ("path", "at", "id")]))


def extension_of(data: bytes) -> str:
    """Return the usual extension of a picture's bytes, without a dot, whatever its name says."""
    known = _magic(data)
    if known:
        return known
    from espalier.io.images.decode import UnreadableImage, probe

    try:
        kind = probe(data, max_pixels=_ANY_SIZE).format.lower()
    except UnreadableImage as error:
        raise EspalierError(f"A picture cannot be read any more: {error}.", "Prune again.") from error
    return _EXTENSIONS.get(kind, kind)


def stem_of(sample_id: str) -> str:
    """Return a sample id without a picture's extension."""
    stem, dot, extension = sample_id.rpartition(".")
    is_picture = dot and "." + extension.lower() in IMAGE_EXTENSIONS
    return stem if is_picture and stem and not stem.endswith("/") else sample_id


def plain_name(name: str) -> str:
    """Return a name as one part of a path."""
    return "_" + name[1:] if name in (".", "..") else name.replace("/", "_").replace("\0", "_")


def refuse_clash(folders: Iterable[str], what: str, remedy: str) -> None:
    """Refuse subsets or classes whose names are one on a disk."""
    twice = sorted(name for name, count in Counter(folders).items() if count > 1)
    if twice:
        raise EspalierError(f"Two {what} would be one folder, {twice[0]}.", remedy)


def left_behind(card: Card, names: list[str] | None = None) -> tuple[str, ...]:
    """Say which columns (all that no sample is made of, or ``names``) or members a conversion has no place for."""
    reader = open_reader(card)
    if isinstance(reader, WebDataset):
        return ("Of a tar the picture, .txt, .cls, and the .json's caption, label, uid and objects are in it.",)
    names = reader.unused() if names is None else names
    listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return (f"Columns that stay behind: {listed}.",) if names else ()


def _magic(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "")


def _kind_of(uri: str) -> str:
    return _magic(_bytes_of(uri, uri, read_head))


def _bytes_of(uri: str, name: str, read: Callable[[str], bytes] = read_bytes) -> bytes:
    try:
        return read(uri) if uri else b""
    except OSError as error:
        raise EspalierError(f"{name} cannot be read any more: {error}.", "Check it and prune again.") from error


def given_boxes(reader: Reader, wanted: set[str]) -> dict[str, Objects]:
    """Return the boxes that tars, tables and lists give, by sample id."""
    objects: dict[str, Objects] = {}
    for sample in reader.samples() if reader.has_boxes else ():
        if sample.objects and sample.error is None and sample.sample_id in wanted:
            objects.setdefault(sample.sample_id, sample.objects)
    return objects


def _annotations(reader: Reader, subset: Subset) -> tuple[dict[str, Objects], Losses, Losses]:
    """Return the boxes of a source by sample id, and the counts of what else its kept items have."""
    wanted, shapes, losses = subset.ids(), Losses(), Losses()
    if not isinstance(reader, DatumaroReader):
        return given_boxes(reader, wanted), shapes, losses
    names = reader.categories()
    kept = ((sample_id, item) for sample_id, item in reader.items() if sample_id in wanted)
    objects = {sample_id: _boxes(item.annotations, names, shapes, losses) for sample_id, item in kept}
    return {sample_id: boxes for sample_id, boxes in objects.items() if boxes["bbox"]}, shapes, losses


def _boxes(annotations: "list[Annotation]", names: list[str], shapes: Losses, losses: Losses) -> Objects:
    """Return the boxes of an item's annotations; a shape gives its own unless its group has one."""
    from datumaro.components.annotation import AnnotationType

    boxed = {a.group for a in annotations if a.type is AnnotationType.bbox and a.group}
    boxes: Objects = {"bbox": [], "category": []}
    for annotation in annotations:
        losses["annotations' attributes"] += any(annotation.attributes.values())
        kind = annotation.type
        if kind in (AnnotationType.label, AnnotationType.caption):
            continue
        box = _box_of(annotation)
        if kind is not AnnotationType.bbox:
            (shapes if box else losses)[f"{kind.name} annotations"] += 1
        if box and (kind is AnnotationType.bbox or annotation.group not in boxed):
            label = getattr(annotation, "label", None)
            boxes["bbox"].append(box)
            boxes["category"].append("" if label is None else names[label] if 0 <= label < len(names) else str(label))
    return boxes


def _box_of(annotation: "Annotation") -> list[float]:
    """Return x, y, width and height; [] for what has no extent."""
    is_empty = not np.any(annotation.image) if hasattr(annotation, "image") else not hasattr(annotation, "get_bbox")
    box = None if is_empty else annotation.get_bbox()
    return [] if box is None else [round(float(value), 4) for value in box]
