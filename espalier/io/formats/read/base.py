"""What every dataset reader gives: samples in batches, and the names of the categories.

What belongs here: the sample, the protocol, the rules that all readers share (which extensions are pictures,
which folder names are subsets). What does not: any one format, and pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from espalier.core.errors import EspalierError, UsageError

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

    Parameters
    ----------
    sample_id : str
        The user's own key, exact; unique in the dataset.
    subset : str
        As the dataset spells it, '' when it has none.
    uri : str
        Where the bytes are (``espalier.io.files.blobs``); '' when there are none.
    labels : tuple[str, ...]
        Distinct class names, in the dataset's order of classes.
    caption, uid : str or None
        Text of the sample; the identifier that the dataset gives it.
    error : str or None
        Why there is nothing to read (not downloaded, a link that leaves the folder, an unsafe path).
    objects : Objects or None
        Boxes that a table, list or ``.json`` gives; what Datumaro reads has more, and keeps it to itself.
    """

    sample_id: str
    subset: str
    uri: str
    labels: tuple[str, ...] = ()
    caption: str | None = None
    uid: str | None = None
    error: str | None = None
    objects: Objects | None = None


class Reader(Protocol):
    """Streams the samples of one dataset; made by ``espalier.io.formats.read.detect.open_reader``."""

    format: str

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples, always in the same order; raise when there is none."""
        ...

    def categories(self) -> list[str]:
        """Return the names of the classes in the dataset's order; empty when it has none."""
        ...


def subset_role(subset: str) -> str:
    """Return ``train``, ``val`` or ``test`` for any usual spelling of it, else the name in lower case."""
    return _ROLES.get(subset.lower(), subset.lower())


def batched(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    """Group a stream of samples into lists of at most ``size``."""
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Return class names in order: numbers by their value, then the others by their bytes."""
    return sorted(
        labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label.encode())
    )


def nothing_in(where: str, expected: str, found: str = "") -> EspalierError:
    """Make the error for a dataset without a sample."""
    also = f" ({found})" if found else ""
    return EspalierError(
        f"{where} holds no sample: no {expected} in it{also}.", "Point to the folder that holds the data."
    )


def check_options(format_name: str, options: dict[str, Any], known: dict[str, str]) -> None:
    """Refuse an option that ``format_name`` does not have; ``known`` maps each option to what it means."""
    for name in options:
        if name not in known:
            listed = "; ".join(f"{key}: {text}" for key, text in known.items()) or "none"
            raise UsageError(f"The format {format_name} has no option {name!r}.", f"Its options: {listed}.")
