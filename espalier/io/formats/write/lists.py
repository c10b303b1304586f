"""Writes lists: the kept rows of a CSV, TSV or JSONL as they stand, and the pictures that they name beside them.

A path that is absolute, a URL, or climbs and comes back is rewritten to where the picture is in the export; every
other value stays as it is.
"""

import csv
import json
from collections.abc import Container
from pathlib import Path
from typing import Any, TextIO

from espalier.core.errors import EspalierError
from espalier.io.formats.read.lists import ListFile, json_lines, open_list, separator_of
from espalier.io.formats.write.base import Progress, Subset, Written, inside
from espalier.io.formats.write.tables import bring, first_of_each, stays


def write_list(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of every list with their pictures; see ``espalier.io.formats.write.base.Writer``."""
    reader, left, files = ListFile(subset.card), subset.ids(), {}  # type: ListFile, set[str], dict[str, str]
    for file in reader.files():
        kept = first_of_each(reader.rows(file), left)
        if not kept:
            continue
        target, columns = inside(folder, file.name), reader.columns_of(file)
        paths: dict[int, str] = {}
        if columns.path:
            brought = bring([sample.uri for sample in kept.values()], columns.root, target.parent, link)
            paths = dict(zip(kept, brought, strict=True))
        with open_list(file.uri) as source, target.open("x", encoding="utf-8", newline="") as out:
            separator = separator_of(file.uri)
            if separator is None:
                _copy_lines(source, out, kept.keys(), columns.path, paths)
            else:
                _copy_cells(source, out, separator, kept.keys(), columns.path, paths)
        files |= {sample.sample_id: file.name for sample in kept.values()}
        progress(len(kept))
    return Written(files)


def _copy_lines(source: TextIO, out: TextIO, kept: Container[int], column: str, paths: dict[int, str]) -> None:
    """Copy the kept lines of a JSONL; a line is written anew only when its path changes."""
    for row, line in enumerate(json_lines(source)):
        if row not in kept:
            continue
        if row in paths:
            values: dict[str, Any] = json.loads(line)
            if not stays(str(values[column])):
                line = json.dumps(values | {column: paths[row]}, ensure_ascii=False)
        out.write(line.rstrip("\r\n") + "\n")


def _copy_cells(
    source: TextIO, out: TextIO, separator: str, kept: Container[int], column: str, paths: dict[int, str]
) -> None:
    """Copy the header and the kept rows of a CSV or TSV."""
    rows = (row for row in csv.reader(source, delimiter=separator) if row)
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    header = next(rows, None)
    if header is None:
        raise EspalierError("The list is empty now.", "Prune again.")
    writer.writerow(header)
    place = header.index(column) if column in header else -1
    for number, row in enumerate(rows):
        if number in kept:
            if number in paths and not stays(row[place]):
                row[place] = paths[number]
            writer.writerow(row)
