"""What every dataset reader gives: samples in batches, and the names of the categories.

Here are also the rules that all readers share: which extensions are pictures, which folder names are subsets.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, TypedDict

from espalier.core.errors import EspalierError, UsageError
from espalier.io.landing.cards import Card

IMAGE_EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2".split()
)
_ROLES = {
    "train": "train", "training": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SUBSET_NAMES = frozenset(_ROLES)


class Objects(TypedDict):
    """Boxes of one picture, as Hugging Face's object detection has them.

    ``bbox``: [x, y, width, height] in pixels of the stored picture; ``category``: the class name of each, '' for none.
    """

    bbox: list[list[float]]
    category: list[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as its dataset describes it, before anything of it is read.

    ``sample_id`` is the user's own key, exact and unique in the dataset; ``subset`` is spelled as the dataset does, ''
    when it has none; ``uri`` is where the bytes are (``espalier.io.files.blobs``), '' when there are none; ``labels``
    are distinct, in the dataset's order of classes; ``error`` tells why there is nothing to read. ``objects`` are boxes
    that a table, list or ``.json`` gives; what Datumaro reads has more, and keeps it to itself.
    """

    sample_id: str
    subset: str
    uri: str
    labels: tuple[str, ...] = ()
    caption: str | None = None
    uid: str | None = None
    error: str | None = None
    objects: Objects | None = None


class Reader(ABC):
    """Streams the samples of one dataset; made by ``espalier.io.formats.read.detect.open_reader``.

    The card's options are those of the format, ``known_options``.
    """

    format: str
    holds = "row"
    known_options: ClassVar[Mapping[str, str] | None] = None
    has_boxes = False

    def __init__(self, card: Card) -> None:
        known = card.reader_options if self.known_options is None else self.known_options
        for name in card.reader_options:
            if name not in known:
                listed = "; ".join(f"{key}: {text}" for key, text in known.items())
                raise UsageError(f"The format {self.format} has no option {name!r}.", f"Its options: {listed}.")
        self.uri, self.options = card.uri, card.reader_options
        self._labels: dict[str, None] | None = None

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yield the samples, always in the same order."""

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples, always in the same order; raise when there is none."""
        samples = self._with_labels_noted()
        while batch := list(islice(samples, size)):
            yield batch

    def categories(self) -> list[str]:
        """Return the names of the classes in the dataset's order, or those that a full pass met, sorted."""
        if self._labels is None:
            for _ in self._with_labels_noted():
                pass
        return sorted_labels(self._labels or ())

    def unused(self) -> list[str]:
        """Return the columns, where there are any, that no sample is made of."""
        return []

    def _with_labels_noted(self) -> Iterator[Sample]:
        labels: dict[str, None] = {}
        sample = None
        for sample in self.samples():
            if sample.labels:
                labels.update(dict.fromkeys(sample.labels))
            yield sample
        if sample is None:
            what = f"{self.uri} holds no sample: no {self._missing()}."
            raise EspalierError(what, "Point to the folder that holds the data.")
        self._labels = labels

    def _missing(self) -> str:
        return f"{self.holds} in it"


def suffix(path: str) -> str:
    """Return a path's extension in lower case with its dot, '' when it has none."""
    name = path.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[1].lower() if "." in name else ""


def subset_role(subset: str) -> str:
    """Return ``train``, ``val`` or ``test`` for any usual spelling of it, else the name in lower case."""
    return _ROLES.get(subset.lower(), subset.lower())


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Return class names in order: numbers by their value, then the others by their bytes."""
    return sorted(
        labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label.encode())
    )
