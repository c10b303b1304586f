"""Writes pictures as files from any source: class folders, or a ``metadata.csv`` or ``metadata.jsonl`` beside them.

Class folders are those of torchvision and of Datumaro's ``imagenet``: ``subset/class/name.jpg``. Metadata are
those of Hugging Face's ``imagefolder``: a row a sample with ``file_name``, ``id``, ``text``, ``label`` and
``objects``, one list a subset folder, beside its pictures; where a subset has an unusual name, which a folder cannot
say, there is ``split``. A picture keeps its bytes, and its name where it has one; its path below the folder is its
sample id as far as a path can be that.
"""

import csv
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, SUBSET_NAMES
from espalier.io.formats.read.lists import ListFile
from espalier.io.formats.write.base import Progress, Subset, Writer, Written, fresh, inside, put_file
from espalier.io.formats.write.convert import (
    Item,
    Losses,
    Source,
    extension_of,
    left_behind,
    plain_name,
    refuse_clash,
    stem_of,
)
from espalier.io.formats.write.extra_columns import as_json
from espalier.io.formats.write.tables import write_list

_LONGEST = 200


def fill_class_folders(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept pictures of any source into class folders; see ``espalier.io.formats.write.base.Writer``."""
    source, names = Source(subset), _Names()
    if not source.has_pictures:
        raise EspalierError("There is no picture among the samples.", "Write them with --format jsonl.")
    refuse_clash(map(plain, source.classes()), "classes", "Write them with --format jsonl.")
    files, losses = {}, Losses(source.losses + source.shapes)  # type: dict[str, str], Losses
    for item in source.items(_must_be_read):
        losses["captions"] += item.caption is not None
        losses["further labels of a sample"] += max(len(item.labels) - 1, 0)
        losses["boxes"] += len(item.objects["bbox"]) if item.objects else 0
        if not item.uri:
            losses["samples without a picture"] += 1
            files[item.sample_id] = ""
            continue
        subset_name = item.subset if is_known(item.subset) else ""
        losses["subset names"] += subset_name != item.subset
        below = [plain(part) for part in (subset_name, *item.labels[:1]) if part]
        path = names.take(below, item, flat=not item.labels)
        _put(item, folder, path, link)
        files[item.sample_id] = path
        progress(1)
    return Written(files, (*names.notes(), *losses.notes("image_folder"), *left_behind(subset.card)))


def _listed(subset: Subset, folder: Path, *, link: bool, progress: Progress, extension: str) -> Written:
    """Write pictures with a ``metadata.csv`` or ``metadata.jsonl``; see ``espalier.io.formats.write.base.Writer``."""
    if subset.source == "list" and all(file.uri.endswith(extension) for file in ListFile(subset.card).files()):
        return write_list(subset, folder, link=link, progress=progress)
    source, names = Source(subset), _Names()
    fields, several = _fields(source), source.most_labels > 1
    files: dict[str, str] = {}
    write_row: dict[str, Callable[[dict[str, Any]], object]] = {}
    with ExitStack() as stack:
        for item in source.items(_must_be_read):
            below = [plain(item.subset)] if item.subset else []
            place = "/".join([*below, f"metadata{extension}"])
            if item.subset not in write_row:
                file = stack.enter_context(fresh(folder, place).open("x", encoding="utf-8", newline=""))
                write_row[item.subset] = _writer(file, extension, fields)
            path = names.take(below, item) if item.uri else ""
            if path:
                _put(item, folder, path, link)
            write_row[item.subset](_values(item, path.removeprefix("/".join([*below, ""])), several))
            files[item.sample_id] = path or place
            progress(1)
    return Written(files, (*names.notes(), *source.notes(extension[1:])))


list_as_csv: Writer = partial(_listed, extension=".csv")
list_as_jsonl: Writer = partial(_listed, extension=".jsonl")


def _fields(source: Source) -> list[str]:
    have = {
        "file_name": source.has_pictures,
        "id": True,
        "split": not all(map(is_known, source.rows["subset"].unique().to_pylist())),
        "text": source.has_caption,
        "label": source.most_labels > 0,
        "uid": source.has_uid,
        "objects": bool(source.objects),
    }
    return [name for name, there in have.items() if there] + [field.name for field in source.extra_columns.fields]


def _values(item: Item, file_name: str, several: bool) -> dict[str, Any]:
    """Return a sample's row; ``several`` makes every label a list."""
    return {
        **as_json(dict(item.extra)),
        "file_name": file_name or None,
        "id": item.sample_id,
        "split": item.subset,
        "text": item.caption,
        "label": list(item.labels) if several else next(iter(item.labels), None),
        "uid": item.uid,
        "objects": item.objects or {"bbox": [], "category": []},
    }


def _writer(file: TextIO, extension: str, fields: list[str]) -> Callable[[dict[str, Any]], object]:
    """Begin a list; return what writes the ``fields`` of a row into it."""
    if extension == ".jsonl":
        return lambda row: file.write(json.dumps({name: row.get(name) for name in fields}, ensure_ascii=False) + "\n")
    cells = csv.writer(file, lineterminator="\n")
    cells.writerow(fields)
    return lambda row: cells.writerow(_cell(row.get(name)) for name in fields)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


class _Names:
    """Paths that were given out, so that none is given twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._renamed = 0

    def take(self, below: list[str], item: Item, *, flat: bool = False) -> str:
        """Return a free path in the folder ``below`` for a picture; ``flat`` makes no folders for its id's."""
        name = item.sample_id
        for part in below:
            name = name.removeprefix(f"{part}/")
        parts = [plain(part) for part in name.split("/")]
        parts = ["_".join(parts)] if flat else parts
        if not parts[-1].lower().endswith(tuple(IMAGE_EXTENSIONS)):
            parts[-1] += f".{extension_of(item.data or read_bytes(item.uri))}"
        path = "/".join([*below, *parts])
        if path in self._taken:
            stem, _, extension = path.rpartition(".")
            path = f"{stem}_{hashlib.sha256(item.sample_id.encode()).hexdigest()[:16]}.{extension}"
        self._renamed += path.removeprefix("/".join([*below, ""])) not in (name, f"{name}.{path.rpartition('.')[2]}")
        self._taken.add(path)
        return path

    def notes(self) -> tuple[str, ...]:
        """Say how many names are not those of the samples."""
        return (f"{self._renamed:,} samples have other file names than their ids.",) if self._renamed else ()


def _must_be_read(uri: str) -> bool:
    """Tell whether a picture is no file of its own that could be copied or linked as it is."""
    return uri != "" and not uri.startswith("/")


def _put(item: Item, folder: Path, path: str, link: bool) -> None:
    if item.data and not link:
        inside(folder, path).write_bytes(item.data)
    else:
        put_file(item.uri, inside(folder, path), link=link)


def is_known(subset: str) -> bool:
    """Tell whether readers take a folder of this name for a subset and not for a class."""
    return subset == "" or subset.lower() in SUBSET_NAMES


def plain(name: str) -> str:
    """Return a name as one part of a path that no walk passes over; one that is too long ends in its digest."""
    name = plain_name(name) or "_"
    name = "_" + name[1:] if name.startswith(".") else name
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    stem, extension = stem_of(name), name.removeprefix(stem_of(name))
    return stem.encode()[: _LONGEST - 30].decode("utf-8", "ignore") + f"_{digest}{extension}"
