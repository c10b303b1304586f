"""Reads image folders: ``class/x.jpg``, ``train/class/x.jpg``, ``train/x.jpg`` or a flat folder.

The sample id is the path below the root, exact and with its extension; the label is the first folder below
the root (or below the subset's folder), as torchvision's ImageFolder takes it.

A first-level folder is a subset when it has a subset's name (train, training, val, valid, validation, test,
...) and either all first-level folders have such names or it holds folders and no picture of its own; so a
class that is called ``train`` beside ``car`` stays a class. The option ``subsets`` names them instead.

A folder that stands alone at its level and is called ``images``, ``data`` or the like is no class.

A file whose extension is no picture's is passed over and counted (``ignored``, by extension); one that has a
picture's extension is a sample whatever it holds, and the scan records what is wrong with it. Dot files and
``_SUCCESS`` do not count. See ``espalier.io.files.listing`` for links.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import takewhile

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.listing import Entry, folders, is_pattern, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, SUBSET_NAMES, Reader, Sample, suffix
from espalier.io.formats.read.options import FOLDER_OPTIONS
from espalier.io.landing.cards import Card

_CONTAINERS = frozenset("images image imgs img jpegimages pictures photos data".split())


class ImageFolder(Reader):
    """Streams the pictures of a folder, local or remote; the option ``subsets`` overrides the rule for subsets."""

    format = "image_folder"
    known_options = FOLDER_OPTIONS

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        if is_pattern(card.uri):
            raise UsageError(
                f"{card.uri} is a pattern, and an image folder is one place.",
                "Point to the folder, or write the paths into a CSV.",
            )
        self.ignored: Counter[str] = Counter()
        self._lone: dict[str, bool] = {}
        named = card.reader_options.get("subsets")
        if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
            raise EspalierError(
                f"{card.name}: the option subsets is not a list of names.", "Write subsets: [train, test]."
            )
        self._subsets = None if named is None else frozenset(named)

    def categories(self) -> list[str]:
        """Return the class folders' names in byte order."""
        return sorted(super().categories(), key=str.encode)

    def samples(self) -> Iterator[Sample]:
        """Yield the pictures in byte order of the folders' names."""
        if self._subsets is None:
            self._subsets = find_subsets(self.uri)
        self.ignored.clear()
        for entry in walk(self.uri):
            if entry.error is None and not is_image(entry):
                self.ignored[suffix(entry.path)] += 1
                continue
            subset, labels = self._placed(entry.path, self._subsets)
            yield Sample(entry.path, subset, entry.uri, labels, error=entry.error)

    def _missing(self) -> str:
        others = ", ".join(f"{count} {kind or 'without extension'}" for kind, count in self.ignored.most_common(5))
        return "picture in it" + (f" (other files: {others})" if others else "")

    def _placed(self, path: str, subsets: frozenset[str]) -> tuple[str, tuple[str, ...]]:
        """Return the subset and the labels that a path says."""
        within = path.split("/")[:-1]
        subset = within.pop(0) if within and within[0] in subsets else ""
        if within and within[0].lower() in _CONTAINERS and self._stands_alone(subset):
            return subset, ()
        return subset, tuple(within[:1])

    def _stands_alone(self, subset: str) -> bool:
        """Tell whether there is one folder only at the level of the classes."""
        if subset not in self._lone:
            self._lone[subset] = len(folders(f"{self.uri}/{subset}" if subset else self.uri)) == 1
        return self._lone[subset]


def find_subsets(uri: str) -> frozenset[str]:
    """Apply the rule for subsets (head of this module) to the folders at the top of ``uri``."""
    at_top = folders(uri)
    named = frozenset(name for name in at_top if name.lower() in SUBSET_NAMES)
    if not named or not any(_holds_image(f"{uri}/{name}") for name in at_top if name not in named):
        return named
    return frozenset(name for name in named if not _holds_image(f"{uri}/{name}", directly=True))


def _holds_image(uri: str, *, directly: bool = False) -> bool:
    """Tell whether there is a picture below ``uri``, or right in it (which a walk lists first)."""
    entries = walk(uri)
    if directly:
        entries = takewhile(lambda entry: "/" not in entry.path, entries)
    return any(is_image(entry) for entry in entries)


def is_image(entry: Entry) -> bool:
    """Tell whether the entry's extension is a picture's."""
    return suffix(entry.path) in IMAGE_EXTENSIONS
