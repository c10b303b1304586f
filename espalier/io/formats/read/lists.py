"""Reads lists: a CSV, TSV or JSONL with a row a sample, of paths, labels and captions, or of texts only.

A path is relative to the list's folder (or the option ``root``) and cannot leave it. The id is the key column, or the
path as it is written, or, for texts, the row's number in nine digits. Which column means what:
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

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.listing import open_binary, unreadable, walk
from espalier.io.formats.read.base import SUBSET_NAMES, Sample, suffix
from espalier.io.formats.read.columns import Columns
from espalier.io.formats.read.rows import RowFile, RowReader

METADATA = ("metadata.csv", "metadata.jsonl")
MAX_LINE = 16 << 20


class ListFile(RowReader):
    """Streams the rows of a CSV, TSV or JSONL file, or of the ``metadata.csv`` and ``metadata.jsonl`` of a folder."""

    format = "list"
    holds = "row of a list"

    def files(self) -> Iterator[RowFile]:
        """Yield each list; one in a folder below the root has that folder before its keys."""
        for entry in walk(self.uri):
            folder, _, name = entry.path.rpartition("/")
            if entry.uri == self.uri or name in METADATA:
                subset = folder.split("/", 1)[0]
                place = "/".join(filter(None, (folder, entry.uri.rsplit("/", 1)[-1])))
                yield RowFile(
                    entry.uri, place, folder and folder + "/", subset if subset.lower() in SUBSET_NAMES else ""
                )

    def schema_of(self, file: RowFile) -> pa.Schema:
        """Return the columns of one list, by its first row; all are texts."""
        with open_list(file.uri) as lines:
            return _schema(next((row for row in _rows(lines, file.uri) if not isinstance(row, str)), {}))

    def other_columns(self, wanted: set[str], names: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the columns ``names`` say of each of the samples that are ``wanted``, the first of an id."""
        left = set(wanted)
        for file in self.files():
            with open_list(file.uri) as lines:
                for sample, row in zip(self.rows(file), _rows(lines, file.uri), strict=False):
                    if sample.sample_id in left and not isinstance(row, str):
                        left.remove(sample.sample_id)
                        yield sample.sample_id, {name: row.get(name) for name in names}

    def rows(self, file: RowFile) -> Iterator[Sample]:
        """Yield a sample for every row of one list; an unreadable line is one with its error."""
        columns: Columns | None = None
        try:
            with open_list(file.uri) as lines:
                for number, row in enumerate(_rows(lines, file.uri)):
                    key = f"{file.prefix}{number:09}"
                    if isinstance(row, str):
                        yield Sample(key, file.subset, "", error=row)
                        continue
                    columns = columns or self.columns_of(file, _schema(row))
                    sample = columns.sample(row, key, file.subset, "")
                    is_own = sample.sample_id == key or columns.key
                    yield sample if is_own else replace(sample, sample_id=file.prefix + sample.sample_id)
        except OSError as error:
            raise unreadable(file.uri, error) from error
        except UnicodeDecodeError as error:
            raise EspalierError(f"{file.uri} is not UTF-8.", "Save it as UTF-8.") from error


def _schema(row: dict[str, Any]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in row])


def separator_of(uri: str) -> str | None:
    """Return what stands between the cells of a list, None for one of JSON."""
    return {".csv": ",", ".tsv": "\t"}.get(suffix(uri))


def _rows(file: TextIO, uri: str) -> Iterator[dict[str, Any] | str]:
    """Yield rows, or why a line is none."""
    separator = separator_of(uri)
    if separator is None:
        yield from map(_parsed, json_lines(file))
        return
    try:
        for row in csv.DictReader(file, delimiter=separator):
            yield {name: value for name, value in row.items() if name is not None}
    except csv.Error as error:
        raise EspalierError(f"{uri} cannot be read as CSV: {error}.", "Mend it.") from error


def json_lines(file: TextIO) -> Iterator[str]:
    """Yield the lines that are not blank; one of more than ``MAX_LINE`` characters is cut up."""
    while line := file.readline(MAX_LINE):
        if line.strip():
            yield line


def _parsed(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else "the line is no JSON object"


def open_list(uri: str) -> TextIO:
    """Open a list that lies on a disk or in a store."""
    return io.TextIOWrapper(open_binary(uri), encoding="utf-8-sig", newline="")
