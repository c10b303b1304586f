"""Writes lists: the kept rows of a CSV, TSV or JSONL as they stand, and the pictures that they name beside them.

A path that is absolute, a URL, or climbs and comes back is rewritten to where the picture is in the export; every
other value stays as it is.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from espalier.core.errors import EspalierError
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.lists import MAX_LINE, SEPARATORS, ListFile, open_list
from espalier.io.formats.write.base import Progress, Subset, Written, inside
from espalier.io.formats.write.tables import bring, first_of_each, stays


def write_list(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of every list with their pictures; see ``espalier.io.formats.write.base.Writer``."""
    reader, left, files = ListFile(subset.card), subset.ids(), {}  # type: ListFile, set[str], dict[str, str]
    for uri, below in reader.lists():
        kept = dict(first_of_each(list(enumerate(reader.samples(uri, below))), left))
        if not kept:
            continue
        name = "/".join(filter(None, (below, uri.rsplit("/", 1)[-1])))
        target = inside(folder, name)
        columns = reader.columns_of(uri)
        change = _brought(columns.path, columns.root, kept, target.parent, link)
        with open_list(uri) as source, target.open("x", encoding="utf-8", newline="") as out:
            copy = _copy_lines if _separator(uri) is None else _copy_cells
            copy(source, out, _separator(uri) or "", kept, columns.path, change)
        files |= {s.sample_id: name for s in kept.values()}
        progress(len(kept))
    return Written(files)


def _separator(uri: str) -> str | None:
    return SEPARATORS.get("." + uri.rsplit(".", 1)[-1].lower())


def _brought(column: str, root: str, kept: dict[int, Sample], folder: Path, link: bool) -> dict[int, str]:
    """Bring the pictures along; return each row's path in the export."""
    if not column:
        return {}
    names = bring([sample.uri for sample in kept.values()], root, folder, link)
    return dict(zip(kept, names, strict=True))


def _copy_lines(
    source: TextIO, out: TextIO, _: str, kept: dict[int, Sample], column: str, names: dict[int, str]
) -> None:
    """Copy the kept lines of a JSONL; a line is written anew only when its path changes."""
    for row, line in enumerate(_lines(source)):
        if row not in kept:
            continue
        if row in names:
            values: dict[str, Any] = json.loads(line)
            if not stays(str(values[column])):
                line = json.dumps(values | {column: names[row]}, ensure_ascii=False)
        out.write(line.rstrip("\r\n") + "\n")


def _lines(source: TextIO) -> Iterator[str]:
    while line := source.readline(MAX_LINE):
        if line.strip():
            yield line


def _copy_cells(
    source: TextIO, out: TextIO, separator: str, kept: dict[int, Sample], column: str, names: dict[int, str]
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
            if number in names and not stays(row[place]):
                row[place] = names[number]
            writer.writerow(row)
