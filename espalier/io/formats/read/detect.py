"""Opens the right reader for a card: the named format, or the one that the files speak for.

What belongs here: the names of the formats, and the rules that tell them apart. What does not: reading.

Rules, the first that fits: a single file goes by its extension; a folder with ``dataset_dict.json`` or
``state.json`` is a saved Hugging Face dataset; tars, then Parquet tables, are what they are when no other
pictures lie about (those of img2dataset's ``files`` output do not count); ``metadata.csv`` or
``metadata.jsonl`` beside pictures, or alone, is a list; pictures alone are an image folder; anything else is shown to
Datumaro. Of its answers a general format stands for its special cases (``voc`` for ``voc_detection``), and
image folders are read by our own reader. What is still ambiguous is refused with the candidates.
"""

import difflib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.listing import Entry, is_url, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, Reader
from espalier.io.formats.read.lists import METADATA
from espalier.io.landing.cards import Card

_LOG = logging.getLogger(__name__)
_LISTS = (".csv", ".tsv", ".jsonl", ".ndjson")
_IDLE = frozenset(".md .rst .pdf .html .log .db .ini .sh .py .gitattributes".split())
_IDLE_NAMES = frozenset({"license", "readme", "copying", "licence", "notice", "readme.txt", "license.txt"})


def _image_folder(card: Card) -> Reader:
    from espalier.io.formats.read.image_folder import ImageFolder

    return ImageFolder(card)


def _webdataset(card: Card) -> Reader:
    from espalier.io.formats.read.webdataset import WebDataset

    return WebDataset(card)


def _parquet(card: Card) -> Reader:
    from espalier.io.formats.read.tables import ParquetTables

    return ParquetTables(card)


def _hf_disk(card: Card) -> Reader:
    from espalier.io.formats.read.saved_dataset import SavedDataset

    return SavedDataset(card)


def _list(card: Card) -> Reader:
    from espalier.io.formats.read.lists import ListFile

    return ListFile(card)


_READERS: dict[str, Callable[[Card], Reader]] = {
    "image_folder": _image_folder,
    "webdataset": _webdataset,
    "parquet": _parquet,
    "hf_disk": _hf_disk,
    "list": _list,
}
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
    """Return the reader's own name of a format.

    Raises
    ------
    UsageError
        For an unknown name, with the nearest known ones.
    """
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

    Raises
    ------
    UsageError
        For an unknown format or option, or files that several formats claim (the candidates are listed).
    EspalierError
        When there is nothing to read.
    """
    name = check_format(card.format) if card.format else detect_format(card.uri)
    if name in _READERS:
        return _READERS[name](card)
    from espalier.io.formats.read.datumaro_reader import DatumaroReader

    return DatumaroReader(card, name)


@dataclass
class _Survey:
    """What kinds of files there are, by name."""

    kinds: Counter[str] = field(default_factory=Counter)
    top: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        name = entry.path.rsplit("/", 1)[-1].lower()
        extension = "." + name.rsplit(".", 1)[1] if "." in name else ""
        if "/" not in entry.path:
            self.top.add(name)
        if name in METADATA:
            self.kinds["metadata"] += 1
        elif extension in IMAGE_EXTENSIONS:
            self.kinds["pictures"] += 1
        elif extension in (".tar", ".parquet", ".arrow"):
            self.kinds[extension] += 1
            self.tables.add(entry.path.removesuffix(extension))
        elif extension not in _IDLE and name not in _IDLE_NAMES:
            self.kinds["others"] += 1
            self.kinds["notes"] += extension == ".json" and "/" not in entry.path


def detect_format(uri: str) -> str:
    """Return the name of the format that the files at ``uri`` speak for (rules at the head of this module)."""
    survey = _Survey()
    entries = list(_first(uri))
    if len(entries) == 1 and (by_name := _of_file(entries[0], uri)):
        return by_name
    for entry in walk(uri):
        survey.add(entry)
    kinds = survey.kinds
    if {"dataset_dict.json", "state.json"} & survey.top and kinds[".arrow"]:
        return "hf_disk"
    own = _tables(survey, uri)
    if own:
        return _one_of(own, uri)
    if kinds["metadata"] and (kinds["pictures"] or not kinds["others"]):
        return "list"
    if kinds["pictures"] and not kinds["others"]:
        return "image_folder"
    if not kinds["pictures"] and not kinds["others"]:
        raise EspalierError(f"{uri} holds no data.", "Point to the folder that holds the pictures.")
    return _by_datumaro(uri, survey)


def _first(uri: str) -> list[Entry]:
    """Return up to two entries of a listing."""
    found = []
    for entry in walk(uri):
        found.append(entry)
        if len(found) == 2:
            break
    return found


def _of_file(entry: Entry, uri: str) -> str | None:
    """Return the format of a card that names one file."""
    if entry.uri.rstrip("/").rsplit("/", 1)[-1] != uri.rstrip("/").rsplit("/", 1)[-1]:
        return None
    extension = "." + uri.rsplit(".", 1)[-1].lower()
    if extension in _LISTS:
        return "list"
    found = {".tar": "webdataset", ".parquet": "parquet"}.get(extension)
    if found is None and extension not in IMAGE_EXTENSIONS:
        raise UsageError(
            f"{uri} is a file, and no format goes by {extension!r}.",
            "Point to its folder, or to a .tar, .parquet, .csv, .tsv or .jsonl.",
        )
    return found


def _tables(survey: _Survey, uri: str) -> list[str]:
    """Return which of our table formats the survey allows."""
    kinds, candidates = survey.kinds, []
    if kinds[".tar"]:
        candidates.append("webdataset")
    if kinds[".parquet"] and not _describes_tars(survey):
        candidates.append("parquet")
    if candidates and kinds["pictures"] and not (candidates == ["parquet"] and _describes_files(survey, uri)):
        candidates.append("image_folder")
    return candidates


def _describes_tars(survey: _Survey) -> bool:
    """Tell whether each Parquet table only tells of the tar beside it, as img2dataset writes them."""
    return survey.kinds[".tar"] > 0 and len(survey.tables) == survey.kinds[".tar"]


def _describes_files(survey: _Survey, uri: str) -> bool:
    """Tell whether all pictures lie in folders named like the tables, as in img2dataset's ``files`` output."""
    for entry in walk(uri):
        is_picture = "." + entry.path.rsplit(".", 1)[-1].lower() in IMAGE_EXTENSIONS
        if is_picture and entry.path.rpartition("/")[0] not in survey.tables:
            return False
    return True


def _by_datumaro(uri: str, survey: _Survey) -> str:
    from espalier.io.formats.read import datumaro_reader

    if is_url(uri):
        if survey.kinds["pictures"]:
            _LOG.warning("%s: taken for pictures only; annotations beside them are read from a disk.", uri)
            return "image_folder"
        raise EspalierError(f"{uri}: its format cannot be found out in a store.", "Name it with --format.")
    if not datumaro_reader.importers() and survey.kinds["pictures"] and survey.kinds["others"] == survey.kinds["notes"]:
        _LOG.warning("%s: taken for pictures only; datumaro is not installed to look at the .json beside them.", uri)
        return "image_folder"
    try:
        found = general(datumaro_reader.detect(uri))
    except EspalierError as error:
        raise EspalierError(f"{uri}: its files are not pictures only. {error.what}", error.remedy) from error
    canonical = sorted({_ALIASES.get(name, name) for name in found})
    if not canonical and survey.kinds["pictures"]:
        return "image_folder"
    return _one_of(canonical, uri)


def general(found: list[str]) -> list[str]:
    """Leave out the special cases of a format that is itself among ``found`` (``voc_detection`` beside ``voc``)."""
    return [name for name in found if not any(name.startswith(other + "_") for other in found)]


def _one_of(candidates: list[str], uri: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise EspalierError(f"{uri}: no known format fits its files.", "Name it with --format (espalier land --help).")
    raise UsageError(
        f"{uri} could be several formats: {', '.join(candidates)}.", f"Say which with --format {candidates[0]}."
    )
