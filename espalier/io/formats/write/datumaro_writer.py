"""Writes the formats that Datumaro exports: COCO, VOC, YOLO, CVAT and some fifty more.

A dataset that Datumaro imported is exported with the annotations that its importer gave, of the kept items only. Any
other dataset becomes items with its labels and captions (a caption a line). Pictures keep their bytes: Datumaro encodes
anew whatever was not a file, or has its extension in capitals; here that happens only where the format asks for another
kind of picture. What a format cannot hold (masks in YOLO) is lost, as it is with Datumaro.

Two layouts of COCO that Datumaro reads and does not write are made of the one that it writes; so is YOLO without
subsets, which it would call ``train``.
"""

import errno
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.formats.read.base import Objects, sorted_labels
from espalier.io.formats.read.datumaro_reader import DatumaroReader, environment
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.write.base import Progress, Subset, Writer, Written
from espalier.io.formats.write.convert import Losses, extension_of, given_boxes, left_behind

if TYPE_CHECKING:
    from datumaro import Dataset, DatasetItem
    from datumaro.components.media import ImageFromFile

_NO_BOXES: Objects = {"bbox": [], "category": []}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_SAME = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif"}


def exporters() -> list[str]:
    """Return the names of the formats that can be written, sorted."""
    return sorted({*environment().exporters, *_LAYOUTS})


def datumaro_writer(format_name: str) -> Writer:
    """Return the writer of a format of :func:`exporters`."""

    def write(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
        if link:
            raise EspalierError(f"Datumaro writes {format_name} and cannot link pictures.", "Use --copy.")
        written_as, arrange = _LAYOUTS.get(format_name, (format_name, None))
        encoded: list[str] = []
        dataset = _subset(subset, progress, encoded)
        try:
            dataset.export(str(folder), written_as, save_media=True)
        except Exception as error:
            cause = error.__cause__ or error
            if isinstance(cause, OSError) and cause.errno in _FULL:
                raise cause from error
            raise EspalierError(
                f"Datumaro cannot write this as {format_name} ({type(cause).__name__}: {str(cause)[:300]}).",
                "Choose another format with --format, for example datumaro.",
            ) from error
        if arrange is not None:
            arrange(folder)
        if format_name == "yolo" and set(subset.rows["subset"].to_pylist()) == {""}:
            _without_subsets(folder)
        notes = () if format_name == subset.source else _notes(dataset, folder, format_name, len(encoded))
        notes += left_behind(subset.card)
        return Written(dict.fromkeys(subset.rows["sample_id"].to_pylist(), ""), notes)

    return write


def _notes(dataset: "Dataset", folder: Path, format_name: str, n_encoded: int) -> tuple[str, ...]:
    """Read the export again and say what of the annotations it does not hold."""
    from datumaro import Dataset

    notes = [f"{n_encoded:,} pictures are encoded anew, as {format_name} asks."] if n_encoded else []
    if format_name not in environment().importers:
        return (*notes, f"Datumaro cannot read {format_name}, so what it holds was not counted.")
    try:
        again = Dataset.import_from(str(folder), format_name)
        n_items, after = len(again), _kinds(again)
    except Exception as error:
        why = type(error).__name__
        return (*notes, f"Datumaro cannot read this {format_name} again ({why}), so what it holds was not counted.")
    if not n_items:
        raise EspalierError(f"{format_name} can hold none of these samples.", "Choose another format with --format.")
    before = _kinds(dataset)
    if n_items < len(dataset):
        notes.append(f"{format_name} holds {n_items:,} of {len(dataset):,} samples.")
    instead = Losses(after - before).notes(format_name, "has in their place") if before - after else ()
    return (*notes, *Losses(before - after).notes(format_name), *instead)


def _kinds(dataset: "Dataset") -> Counter[str]:
    """Count annotations by kind."""
    return Counter(f"{annotation.type.name} annotations" for item in dataset for annotation in item.annotations)


def _subset(subset: Subset, progress: Progress, encoded: list[str]) -> "Dataset":
    """Return the kept items as a ``datumaro.Dataset``; names of pictures that are encoded anew go to ``encoded``."""
    environment()
    from datumaro import Dataset

    reader = open_reader(subset.card)
    if isinstance(reader, DatumaroReader):
        wanted, whole = subset.ids(), reader.dataset()
        items = [_untouched(item, progress, encoded) for sample_id, item in reader.items() if sample_id in wanted]
        if len(items) != len(wanted):
            raise EspalierError(f"{subset.card.uri} has other items now than when it was read.", "Prune again.")
        return Dataset.from_iterable(
            items, infos=whole.infos(), categories=whole.categories(), media_type=whole.media_type()
        )
    boxes = given_boxes(reader, subset.ids())
    boxed = {name for objects in boxes.values() for name in objects["category"] if name}
    names = list(subset.categories) or reader.categories()
    names += sorted_labels(boxed - set(names))
    return Dataset.from_iterable(list(_items(subset, names, boxes, progress, encoded)), categories=names)


def _items(
    subset: Subset, names: list[str], boxes: dict[str, Objects], progress: Progress, encoded: list[str]
) -> Iterator["DatasetItem"]:
    """Make items of samples that another reader gave; a class that a box says is not said once more."""
    from datumaro import Bbox, Caption, DatasetItem, Label

    columns = [subset.rows[name].to_pylist() for name in ("sample_id", "subset", "uri", "labels", "caption")]
    short = [_item_id(sample_id, inside) for sample_id, inside in zip(*columns[:2], strict=True)]
    counts = Counter(zip(short, columns[1], strict=True))
    place = {name: number for number, name in enumerate(names)}
    for item_id, (sample_id, inside, uri, labels, caption) in zip(short, zip(*columns, strict=True), strict=True):
        objects = boxes.get(sample_id, _NO_BOXES)
        plain = [label for label in labels or () if label in place and label not in objects["category"]]
        yield DatasetItem(
            id=item_id if counts[item_id, inside] == 1 else sample_id,
            subset=inside or None,
            media=_picture()(uri, progress, encoded) if uri else None,
            annotations=[
                *(Label(place[label]) for label in plain),
                *(
                    Bbox(*box, label=place.get(category), id=number, group=number)
                    for number, (box, category) in enumerate(zip(objects["bbox"], objects["category"], strict=True), 1)
                ),
                *(Caption(line, id=number) for number, line in enumerate((caption or "").splitlines()) if line),
            ],
        )


def _item_id(sample_id: str, subset: str) -> str:
    """Return a sample id without its picture's extension and without the folder of its subset."""
    stem, dot, extension = sample_id.rpartition(".")
    stem = stem if dot and "/" not in extension and stem else sample_id
    return stem.removeprefix(f"{subset}/") if subset else stem


def _untouched(item: "DatasetItem", progress: Progress, encoded: list[str]) -> "DatasetItem":
    """Return an item whose picture, if it is a file, is written with the bytes that it has."""
    from datumaro.components.media import ImageFromFile

    if type(item.media) is not ImageFromFile:
        progress(1)
        return item
    size = item.media.size if item.media.has_size else None
    return item.wrap(media=_picture()(item.media.path, progress, encoded, size))


@cache
def _picture() -> Callable[..., "ImageFromFile"]:
    """Return the class of pictures that keep their bytes; made on demand, as datumaro is imported then."""
    from datumaro.components.media import ImageFromFile
    from datumaro.util.image import decode_image, save_image

    class Picture(ImageFromFile):
        """A picture behind a uri of ``espalier.io.files.blobs``."""

        def __init__(
            self, uri: str, progress: Progress, encoded: list[str], size: tuple[int, int] | None = None
        ) -> None:
            name = uri if uri.startswith("/") else f"picture.{extension_of(read_bytes(uri))}"
            super().__init__(path=name, size=size)
            self._uri, self._progress, self._encoded = uri, progress, encoded

        @property
        def has_data(self) -> bool:
            return True

        @property
        def data(self) -> np.ndarray:
            return decode_image(read_bytes(self._uri), dtype=self._dtype)

        @property
        def bytes(self) -> bytes:
            return read_bytes(self._uri)

        def save(self, fp: str | io.IOBase, ext: str | None = None) -> None:
            asked = self._get_ext_to_save(fp, ext)
            self._progress(1)
            if _kind(asked) != _kind(self.ext):
                self._encoded.append(self._uri)
                save_image(fp, self.data, ext=asked)
            elif isinstance(fp, str):
                Path(fp).parent.mkdir(parents=True, exist_ok=True)
                Path(fp).write_bytes(self.bytes)
            else:
                fp.write(self.bytes)

    return Picture


def _kind(extension: str | None) -> str:
    name = (extension or "").lstrip(".").lower()
    return _SAME.get(name, name)


def _as_mmdet(folder: Path) -> None:
    """Move ``images/<subset>`` up, as MMDetection has it."""
    for path in sorted((folder / "images").iterdir()):
        shutil.move(path, folder / path.name)
    (folder / "images").rmdir()


def _as_roboflow(folder: Path) -> None:
    """Move each subset's pictures up and its annotations beside them, as Roboflow has it."""
    _as_mmdet(folder)
    for path in sorted((folder / "annotations").glob("instances_*.json")):
        subset = folder / path.stem.removeprefix("instances_")
        subset.mkdir(exist_ok=True)
        path.rename(subset / "_annotations.coco.json")
    (folder / "annotations").rmdir()


def _without_subsets(folder: Path) -> None:
    """Turn YOLO's ``obj_train_data`` into ``images`` and ``labels``."""
    source = folder / "obj_train_data"
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        place = folder / ("labels" if path.suffix == ".txt" else "images") / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    shutil.rmtree(source)
    for name in ("train.txt", "obj.data"):
        (folder / name).unlink()


def _without_empty(folder: Path) -> None:
    """Remove folders of classes that no sample has, which importers refuse."""
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


_LAYOUTS: dict[str, tuple[str, Callable[[Path], None] | None]] = {
    "imagenet": ("imagenet", _without_empty),
    "imagenet_with_subset_dirs": ("imagenet_with_subset_dirs", _without_empty),
    "mmdet_coco": ("coco_instances", _as_mmdet),
    "roboflow_coco": ("coco_instances", _as_roboflow),
}
