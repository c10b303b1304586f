"""Opens the right reader for a card: the named format, or the one that the files speak for.

Rules, the first that fits: a single file goes by its extension; a folder with ``dataset_dict.json`` or ``state.json``
is a saved Hugging Face dataset; tars, then Parquet tables, are what they are when no other pictures lie about (those of
img2dataset's ``files`` output do not count); ``metadata.csv`` or ``metadata.jsonl`` beside pictures, or alone, is a
list; pictures alone are an image folder; anything else is shown to Datumaro. Of its answers a general format stands for
its special cases (``voc`` for ``voc_detection``), and image folders are read by our own reader. What is still ambiguous
is refused with the candidates.
"""

import difflib
import importlib
import logging
from collections import Counter

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.listing import Entry, is_url, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, Reader, suffix
from espalier.io.formats.read.lists import METADATA
from espalier.io.landing.cards import Card

_LOG = logging.getLogger(__name__)
_OF_FILES = {
    ".tar": "webdataset",
    ".parquet": "parquet",
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "list"),
}
_IDLE = frozenset(".md .rst .pdf .html .log .db .ini .sh .py .gitattributes".split())
_IDLE_NAMES = frozenset({"license", "readme", "copying", "licence", "notice", "readme.txt", "license.txt"})


_READERS = {
    "image_folder": ("image_folder", "ImageFolder"),
    "webdataset": ("webdataset", "WebDataset"),
    "parquet": ("tables", "ParquetTables"),
    "hf_disk": ("tables", "SavedDataset"),
    "list": ("lists", "ListFile"),
}  # modules are loaded when they are needed
_ALIASES = {
    "image_dir": "image_folder",
    "imagenet": "image_folder",
    "imagenet_with_subset_dirs": "image_folder",
    "img2dataset": "parquet",
    "csv": "list",
    "jsonl": "list",
}


def known_formats() -> list[str]:
    """Return every name that ``format`` may have, sorted."""
    from espalier.io.formats.read.datumaro_reader import importers

    return sorted({*_READERS, *_ALIASES, *importers()})


def check_format(name: str) -> str:
    """Return the reader's own name of a format; an unknown one is refused with the nearest known ones."""
    canonical = _ALIASES.get(name, name)
    if canonical in _READERS:
        return canonical
    from espalier.io.formats.read.datumaro_reader import environment, importers

    if name in importers():
        return name
    near = difflib.get_close_matches(name, known_formats(), 3)
    if not near and not importers():
        environment()  # it may be one of Datumaro's: say what to install
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known_formats())}."
    raise UsageError(f"There is no format {name!r}.", hint)


def open_reader(card: Card) -> Reader:
    """Open the reader of a card, by its format or by what its files look like.

    Files that several formats claim are a UsageError that lists the candidates.
    """
    name = check_format(card.format) if card.format else detect_format(card.uri)
    if name in _READERS:
        module, reader = _READERS[name]
        opened: Reader = getattr(importlib.import_module(f"espalier.io.formats.read.{module}"), reader)(card)
        return opened
    from espalier.io.formats.read.datumaro_reader import DatumaroReader

    return DatumaroReader(card, name)


class _Survey:
    """What kinds of files there are below a location, by name, from one walk."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.kinds: Counter[str] = Counter()
        self.tables: set[str] = set()
        self.picture_folders: set[str] = set()
        self.is_saved_dataset = False
        self.entries: list[Entry] = []  # the first two: one alone may be the location itself
        for entry in walk(uri):
            if len(self.entries) < 2:
                self.entries.append(entry)
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        folder, _, name = entry.path.rpartition("/")
        name, extension = name.lower(), suffix(name)
        self.is_saved_dataset |= not folder and name in ("dataset_dict.json", "state.json")
        if name in METADATA:
            self.kinds["metadata"] += 1
        elif extension in IMAGE_EXTENSIONS:
            self.kinds["pictures"] += 1
            self.picture_folders.add(folder)
        elif extension in (".tar", ".parquet", ".arrow"):
            self.kinds[extension] += 1
            self.tables.add(entry.path.removesuffix(extension))
        elif extension not in _IDLE and name not in _IDLE_NAMES:
            self.kinds["others"] += 1
            self.kinds["notes"] += extension == ".json" and not folder

    def of_file(self) -> str | None:
        """Return the format of a location that is one file."""
        last = self.uri.rstrip("/").rsplit("/", 1)[-1]
        if len(self.entries) != 1 or self.entries[0].uri.rstrip("/").rsplit("/", 1)[-1] != last:
            return None
        extension = suffix(self.uri)
        if extension not in _OF_FILES and extension not in IMAGE_EXTENSIONS:
            raise UsageError(
                f"{self.uri} is a file, and no format goes by {extension!r}.",
                "Point to its folder, or to a .tar, .parquet, .csv, .tsv or .jsonl.",
            )
        return _OF_FILES.get(extension)

    def tables_and_pictures(self) -> list[str]:
        """Return which formats the files allow when there are tars or Parquet tables; img2dataset writes both."""
        formats = ["webdataset"] if self.kinds[".tar"] else []
        only_about_tars = formats and len(self.tables) == self.kinds[".tar"]
        if self.kinds[".parquet"] and not only_about_tars:
            formats.append("parquet")
        beside_tables = formats == ["parquet"] and self.picture_folders <= self.tables
        return [*formats, "image_folder"] if formats and self.kinds["pictures"] and not beside_tables else formats


def detect_format(uri: str) -> str:
    """Return the name of the format that the files at ``uri`` speak for (rules at the head of this module)."""
    survey = _Survey(uri)
    if by_name := survey.of_file():
        return by_name
    kinds = survey.kinds
    if survey.is_saved_dataset and kinds[".arrow"]:
        return "hf_disk"
    if formats := survey.tables_and_pictures():
        return _one_of(formats, uri)
    if kinds["metadata"] and (kinds["pictures"] or not kinds["others"]):
        return "list"
    if kinds["pictures"] and not kinds["others"]:
        return "image_folder"
    if not kinds["pictures"] and not kinds["others"]:
        raise EspalierError(f"{uri} holds no data.", "Point to the folder that holds the pictures.")
    return _by_datumaro(uri, kinds)


def _by_datumaro(uri: str, kinds: Counter[str]) -> str:
    from espalier.io.formats.read import datumaro_reader

    why = ""
    if is_url(uri):
        if not kinds["pictures"]:
            raise EspalierError(f"{uri}: its format cannot be found out in a store.", "Name it with --format.")
        why = "annotations beside them are read from a disk"
    elif not datumaro_reader.importers() and kinds["pictures"] and kinds["others"] == kinds["notes"]:
        why = "datumaro is not installed to look at the .json beside them"
    if why:
        _LOG.warning("%s: taken for pictures only; %s.", uri, why)
        return "image_folder"
    try:
        formats = general(datumaro_reader.detect(uri))
    except EspalierError as error:
        raise EspalierError(f"{uri}: its files are not pictures only. {error.what}", error.remedy) from error
    own = sorted({_ALIASES.get(name, name) for name in formats})
    return _one_of(own or ["image_folder"] * (kinds["pictures"] > 0), uri)


def general(formats: list[str]) -> list[str]:
    """Leave out the special cases of a format that is itself among them (``voc_detection`` beside ``voc``)."""
    return [name for name in formats if not any(name.startswith(other + "_") for other in formats)]


def _one_of(candidates: list[str], uri: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise EspalierError(f"{uri}: no known format fits its files.", "Name it with --format (espalier land --help).")
    raise UsageError(
        f"{uri} could be several formats: {', '.join(candidates)}.", f"Say which with --format {candidates[0]}."
    )
