"""Reads the formats that Datumaro imports: COCO, VOC, YOLO, CVAT, Open Images and some eighty more.

Datumaro parses the annotations and holds them in memory; the pictures stay where they are and are not opened here. A
sample's labels are the classes of all its annotations (labels, boxes, masks, polygons, points), its caption joins the
captions by newlines. The id is the item's own; when two subsets share an id, as YOLO's often do, all ids of the dataset
get their subset before them (``train/1``). Items come sorted by subset and id, whatever order the importer has.

An item that its importer cannot read, or that has an annotation it cannot read, is an error row, not the end of the
import. A picture outside the dataset's folder is refused. The few formats that keep pictures as numbers (CIFAR, MNIST)
get their pixels as PNG in a ``data:`` uri.
"""

import base64
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import MAX_BYTES
from espalier.io.files.listing import LEAVES, lies_in, local_path, walk
from espalier.io.formats.read.base import Reader, Sample
from espalier.io.formats.read.image_folder import is_image
from espalier.io.landing.cards import Card

if TYPE_CHECKING:
    from datumaro import Annotation, Dataset, DatasetItem, Environment
    from datumaro.components.media import MediaElement

PICKLED = frozenset({"cifar", "brats_numpy"})
MAX_INLINE = 64 << 10


class DatumaroReader(Reader):
    """Streams the items of a local dataset that Datumaro imports; the card's options are passed to its importer.

    A format that is a pickle is refused when the card does not trust it.
    """

    def __init__(self, card: Card, format_name: str) -> None:
        super().__init__(card)
        if format_name in PICKLED and not card.trust:
            raise UsageError(
                f"{card.name}: the format {format_name} is a pickle, which can run code when it is loaded.",
                "If you trust where it comes from, write trust: true in its card.",
            )
        if local_path(card.uri) is None:
            raise EspalierError(
                f"{card.uri}: Datumaro reads the format {format_name} from local folders only.", "Copy it to a disk."
            )
        self.format, self.holds = format_name, f"item of the format {format_name}"
        self._loaded: Dataset | None = None
        self._shared = False
        self._faults = _Faults()

    def categories(self) -> list[str]:
        """Return the classes in the dataset's order."""
        from datumaro.components.annotation import AnnotationType

        return [item.name for item in self.dataset().categories().get(AnnotationType.label) or ()]

    def dataset(self) -> "Dataset":
        """Import the dataset once and return the ``datumaro.Dataset``, with all its annotations."""
        if self._loaded is None:
            self._loaded, self._faults = _imported(self.uri, self.format, self.options)
        return self._loaded

    def items(self) -> Iterator[tuple[str, "DatasetItem"]]:
        """Yield each ``datumaro.DatasetItem`` after its sample id, by subset and id."""
        items = sorted(self.dataset(), key=lambda item: (item.subset.encode(), item.id.encode()))
        self._shared = len(Counter(item.id for item in items)) < len(items)
        for item in items:
            yield f"{item.subset}/{item.id}" if self._shared else item.id, item

    def samples(self) -> Iterator[Sample]:
        """Yield the items by subset and id, then what could not be imported."""
        names, items, real = self.categories(), list(self.items()), os.path.realpath(self.uri)
        for sample_id, item in items:
            subset = "" if item.subset == "default" else item.subset
            uri, error = _picture(item.media, real)
            error = self._faults.annotations.get((item.id, item.subset), error)
            labels, caption = _labels(item.annotations, names), _caption(item.annotations)
            yield Sample(sample_id, subset, uri, labels, caption, error=error)
        there = {(item.id, item.subset) for _, item in items}
        lost = [fault for fault in self._faults.annotations.items() if fault[0] not in there]
        for (name, subset), reason in sorted([*self._faults.items.items(), *lost]):
            yield Sample(f"{subset}/{name}" if self._shared else name, subset, "", error=reason)


@dataclass
class _Faults:
    """Why items are not there, and what is wrong with annotations, by id and subset."""

    items: dict[tuple[str, str], str] = field(default_factory=dict)
    annotations: dict[tuple[str, str], str] = field(default_factory=dict)


@cache
def environment() -> "Environment":
    """Return Datumaro's environment; EspalierError when it is not installed."""
    try:
        from datumaro import Environment
    except ImportError as error:
        raise EspalierError(
            f"Annotated datasets are read by the package datumaro ({error}).",
            "Install it: pip install 'datumaro>=1.13,<1.14'; or read the pictures alone with --format image_folder.",
        ) from error
    return Environment()


def importers() -> list[str]:
    """Return the names of the formats that Datumaro imports, sorted; empty when it is not installed."""
    try:
        return sorted(environment().importers)
    except EspalierError:
        return []


def detect(uri: str) -> list[str]:
    """Return the formats that Datumaro takes a local folder for, sorted."""
    known = environment()
    try:
        return list(known.detect_dataset(uri))
    except Exception as error:
        raise EspalierError(f"Datumaro cannot tell its format ({error}).", "Name it with --format.") from error


def _imported(uri: str, format_name: str, options: dict[str, Any]) -> tuple["Dataset", _Faults]:
    """Import a dataset whole; return it with what is wrong with single items."""
    environment()
    from datumaro import Dataset
    from datumaro.components.contexts.importer import ImportErrorPolicy

    _refuse_traps(uri)
    faults = _Faults()

    class Recording(ImportErrorPolicy):
        def _handle_item_error(self, error: Any) -> None:
            faults.items[_name(error)] = f"the item cannot be imported: {_reason(error)}"

        def _handle_annotation_error(self, error: Any) -> None:
            faults.annotations[_name(error)] = f"an annotation cannot be imported: {_reason(error)}"

    try:
        dataset = Dataset.import_from(uri, format_name, error_policy=Recording(), **options)
        len(dataset)  # importers are lazy: what they refuse shows here
    except Exception as error:
        raise EspalierError(
            f"{uri} cannot be read as {format_name} ({_reason(error)}).",
            "Mend it, or name another format with --format.",
        ) from error
    return dataset, faults


def _refuse_traps(uri: str) -> None:
    """Refuse annotations that are links out of the folder, and zips with members that would fill the memory."""
    for entry in walk(uri):
        if entry.error == LEAVES and not is_image(entry):
            raise EspalierError(f"{entry.uri}: {entry.error}.", "Put the file itself there.")
        if entry.path.endswith(".zip") and zipfile.is_zipfile(entry.uri):
            with zipfile.ZipFile(entry.uri) as packed:
                big = next((m for m in packed.infolist() if m.file_size > MAX_BYTES), None)
            if big:
                what = f"its member {big.filename!r} is {big.file_size >> 20} MiB unpacked"
                raise EspalierError(f"{entry.uri}: {what}.", f"Unpack it; {MAX_BYTES >> 20} MiB are read at most.")


def _name(error: Any) -> tuple[str, str]:
    """Return id and subset of the item that an error is about.

    Importers of COCO and of Datumaro's own format name the annotation's number or the picture's, not the item; so the
    item is looked up where the error was caught.
    """
    name, subset = error.item_id
    trace = getattr(error.__cause__, "__traceback__", None)
    caught_in = trace.tb_frame.f_locals if trace else {}
    item, picture = caught_in.get("item"), caught_in.get("img_info")
    if isinstance(item, dict):
        name = item.get("id", name)
    elif item is not None:
        name = getattr(item, "id", name)
    elif isinstance(picture, dict) and isinstance(picture.get("file_name"), str):
        name = os.path.splitext(picture["file_name"])[0]  # noqa: PTH122
    return str(name), str(subset)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".split("\n", 1)[0][:300]


def _labels(annotations: "list[Annotation]", names: list[str]) -> tuple[str, ...]:
    labels = {annotation.label for annotation in annotations if getattr(annotation, "label", None) is not None}
    return tuple(names[label] if 0 <= label < len(names) else str(label) for label in sorted(labels))


def _caption(annotations: "list[Annotation]") -> str | None:
    captions = [(annotation.id, annotation.caption) for annotation in annotations if hasattr(annotation, "caption")]
    return "\n".join(caption for _, caption in sorted(captions)) or None


def _picture(media: "MediaElement | None", real: str) -> tuple[str, str | None]:
    """Return the uri of an item's picture and why it must not be read."""
    from datumaro.components.media import Image, ImageFromBytes, ImageFromNumpy, VideoFrame

    if media is None:
        return "", "the dataset names no picture for it"
    if not isinstance(media, Image) or isinstance(media, VideoFrame):
        return "", f"its medium is a {type(media).__name__}, not a picture"
    path = getattr(media, "path", None)
    if path:
        path = os.path.abspath(path)  # noqa: PTH100
        return (path, None) if lies_in(path, real) else ("", "the picture's path leaves the folder of the dataset")
    if isinstance(media, ImageFromBytes):
        return _inline(media.bytes)
    if isinstance(media, ImageFromNumpy):
        return _inline(_png(media.data))
    return "", "the picture is kept in a way that cannot be read again"


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.squeeze(np.clip(pixels, 0, 255).astype(np.uint8))).save(out, "PNG")
    return out.getvalue()


def _inline(data: bytes | None) -> tuple[str, str | None]:
    if data is None or len(data) > MAX_INLINE:
        return "", f"the picture is no file of its own and more than {MAX_INLINE >> 10} KiB; unpack the dataset"
    return "data:;base64," + base64.b64encode(data).decode(), None
