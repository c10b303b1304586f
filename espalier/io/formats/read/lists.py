"""Reads lists: a CSV, TSV or JSONL with a row a sample, of paths, labels and captions, or of texts only.

A path is relative to the list's folder (or the option ``root``) and cannot leave it. The id is the key
column, or the path as it is written, or, for texts, the row's number in nine digits. Which column means what:
``espalier.io.formats.read.columns``, decided on the first row. A folder of pictures with a ``metadata.csv`` or
``metadata.jsonl`` in it or in its subset folders, as Hugging Face has them, is read by these; ids then begin with the
folder. A line that cannot be parsed is an error row under its number.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

from espalier.core.errors import EspalierError
from espalier.io.files.listing import filesystem, local_path, unreadable, walk
from espalier.io.formats.read.base import SUBSET_NAMES, Sample, batched, check_options, nothing_in, sorted_labels
from espalier.io.formats.read.columns import OPTIONS, Columns, choose
from espalier.io.landing.cards import Card

METADATA = ("metadata.csv", "metadata.jsonl")
MAX_LINE = 16 << 20
SEPARATORS = {".csv": ",", ".tsv": "\t"}


class ListFile:
    """Streams the rows of a CSV, TSV or JSONL file, or of the ``metadata.csv`` and ``metadata.jsonl`` of a folder.

    Parameters
    ----------
    card : Card
        ``uri`` is the file or folder; the options name columns (``espalier.io.formats.read.columns``).
    """

    format = "list"

    def __init__(self, card: Card) -> None:
        check_options(self.format, card.reader_options, OPTIONS)
        self.uri, self._options = card.uri, card.reader_options
        self._labels: dict[str, None] | None = None

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples in the order of lines."""
        return batched(self._samples(), size)

    def categories(self) -> list[str]:
        """Return the labels that a full pass met, sorted."""
        if self._labels is None:
            for _ in self._samples():
                pass
        return sorted_labels(self._labels or ())

    def _samples(self) -> Iterator[Sample]:
        labels: dict[str, None] = {}
        empty = True
        for uri, folder in self.lists():
            for sample in self.samples(uri, folder):
                empty = False
                labels.update(dict.fromkeys(sample.labels))
                yield sample
        if empty:
            raise nothing_in(self.uri, "row of a list")
        self._labels = labels

    def samples(self, uri: str, folder: str) -> Iterator[Sample]:
        """Yield a sample for every row of one of :meth:`lists`."""
        subset = folder.split("/", 1)[0]
        return self._list(uri, folder and folder + "/", subset if subset.lower() in SUBSET_NAMES else "")

    def columns_of(self, uri: str) -> Columns:
        """Return which column of one list means what."""
        return self._columns(uri, _first_row(uri))

    def unused(self) -> list[str]:
        """Return the columns of the first list that no sample is made of."""
        uri = next(uri for uri, _ in self.lists())
        row = _first_row(uri)
        return self._columns(uri, row).unused(row)

    def boxed(self) -> bool:
        """Tell whether the first list has boxes."""
        return self.columns_of(next(uri for uri, _ in self.lists())).objects != ""

    def others(self, wanted: set[str], names: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the columns ``names`` say of each of the samples that are ``wanted``, the first of an id."""
        seen: set[str] = set()
        for uri, folder in self.lists():
            with open_list(uri) as file:
                for sample, row in zip(self.samples(uri, folder), _rows(file, uri), strict=False):
                    if sample.sample_id in wanted and sample.sample_id not in seen and not isinstance(row, str):
                        seen.add(sample.sample_id)
                        yield sample.sample_id, {name: row.get(name) for name in names}

    def lists(self) -> Iterator[tuple[str, str]]:
        """Yield each list and the folder below the root that it is in."""
        for entry in walk(self.uri):
            folder, _, name = entry.path.rpartition("/")
            if entry.uri == self.uri or name in METADATA:
                yield entry.uri, folder

    def _list(self, uri: str, prefix: str, subset: str) -> Iterator[Sample]:
        columns: Columns | None = None
        try:
            with open_list(uri) as file:
                for number, row in enumerate(_rows(file, uri)):
                    key = f"{prefix}{number:09}"
                    if isinstance(row, str):
                        yield Sample(key, subset, "", error=row)
                        continue
                    columns = columns or self._columns(uri, row)
                    sample = columns.sample(row, key, subset, "")
                    is_own = sample.sample_id == key or columns.key
                    yield sample if is_own else replace(sample, sample_id=prefix + sample.sample_id)
        except OSError as error:
            raise unreadable(uri, error) from error
        except UnicodeDecodeError as error:
            raise EspalierError(f"{uri} is not UTF-8.", "Save it as UTF-8.") from error

    def _columns(self, uri: str, row: dict[str, Any]) -> Columns:
        return choose(dict.fromkeys(row, False), self._options, uri, uri.rsplit("/", 1)[0], {})


def _first_row(uri: str) -> dict[str, Any]:
    with open_list(uri) as file:
        return next((row for row in _rows(file, uri) if not isinstance(row, str)), {})


def _rows(file: TextIO, uri: str) -> Iterator[dict[str, Any] | str]:
    """Yield rows, or why a line is none."""
    separator = SEPARATORS.get("." + uri.rsplit(".", 1)[-1].lower())
    if separator is None:
        while line := file.readline(MAX_LINE):
            if line.strip():
                yield _parsed(line)
        return
    try:
        for row in csv.DictReader(file, delimiter=separator):
            yield {name: value for name, value in row.items() if name is not None}
    except csv.Error as error:
        raise EspalierError(f"{uri} cannot be read as CSV: {error}.", "Mend it.") from error


def _parsed(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else "the line is no JSON object"


def open_list(uri: str) -> TextIO:
    """Open a list that lies on a disk or in a store."""
    path = local_path(uri)
    if path is not None:
        return path.open(encoding="utf-8-sig", newline="")
    system, inside = filesystem(uri)
    return io.TextIOWrapper(system.open(inside, "rb"), encoding="utf-8-sig", newline="")
