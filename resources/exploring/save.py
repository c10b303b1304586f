"""An answer as a folder: ``explore.png`` (a contact sheet, the queries first), ``results.json``, and ``files/``.

Nothing is deleted. A folder that holds anything is refused unless it may be written over; then files of the same
names are replaced one by one, the result files of an earlier answer go, and all else stays.
"""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from espalier.errors import EspalierError, UsageError
from resources.blobs import BlobError, read_bytes
from resources.exploring.answer import Answer
from resources.listing import is_url
from resources.sheets import Cell, contact_sheet

SHEET, RECORD, FILES = "explore.png", "results.json", "files"
COLUMNS, ON_SHEET = 8, 200
_KINDS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}


def check_folder(folder: Path, *, overwrite: bool) -> Path:
    """Refuse a folder that must not be written to, before anything is searched; return its absolute path."""
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", "Give a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} is there already and not empty.", "Give another folder, or --overwrite.")
    return folder


def sheet(answer: Answer) -> bytes:
    """Draw the queries (framed) and then the results in their order, each with distance and id: a PNG."""
    queries = [Cell(uri, query.value, "not this" if query.away else "query", True) for query, uri in answer.pictures]
    queries += [
        Cell("", f"“{q.value}”", "not these words" if q.away else "words", True)
        for q in answer.asked.queries
        if q.kind == "text"
    ]
    several = len({result.dataset for result in answer.results}) > 1
    found = [
        Cell(r.uri, f"{r.dataset}:{r.sample_id}" if several else r.sample_id, f"{n}.  {_far(r.distance)}")
        for n, r in enumerate(answer.results[:ON_SHEET], start=1)
    ]
    rows = [cells[i : i + COLUMNS] for cells in (queries, found) for i in range(0, len(cells), COLUMNS)]
    return contact_sheet(rows, _read, COLUMNS)


def save(answer: Answer, folder: Path, *, overwrite: bool = False, link: bool = False) -> dict[str, Any]:
    """Write an answer to a folder.

    Parameters
    ----------
    answer : Answer
    folder : Path
        Made when missing.
    overwrite : bool
        Write into a folder that holds something.
    link : bool
        Symbolic links to local files instead of copies.

    Returns
    -------
    dict
        What ``results.json`` says: the answer, each result with its ``file`` below the folder (None where the
        bytes could not be had).
    """
    folder = check_folder(folder, overwrite=overwrite)
    try:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder)
        record = answer.as_json()
        for number, result in enumerate(record["results"], start=1):
            result["file"] = _put(folder, number, result["uri"], result["sample_id"], link)
        _replace(folder / SHEET, sheet(answer))
        _replace(folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise EspalierError(f"Cannot write to {folder}: {error.strerror or error}.", "Give another folder.") from error
    return record


def _far(distance: float) -> str:
    return f"{distance:.0f}" if distance == int(distance) else f"{distance:.4f}"


def _read(uri: str) -> bytes:
    if not uri:
        raise BlobError("words have no picture")
    return read_bytes(uri)


def _put(folder: Path, number: int, uri: str, sample: str, link: bool) -> str | None:
    """Copy or link one result's file, under its rank and name, and return its path below the folder."""
    local = uri.startswith("/")
    name = PurePosixPath(uri if local or is_url(uri) else sample).name
    try:
        data = None if link and local else read_bytes(uri)
    except BlobError:
        return None
    if data is not None and not PurePosixPath(name).suffix:
        name += next((end for start, end in _KINDS.items() if data.startswith(start)), "")
    target = folder / FILES / f"{number:04}_{name[-200:]}"
    if data is None:
        fresh = target.with_name(f".{target.name}.tmp")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(uri)
        fresh.replace(target)
    else:
        _replace(target, data)
    return f"{FILES}/{target.name}"


def _replace(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it there; a link in its place is replaced, not followed."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.unlink(missing_ok=True)
    fresh.write_bytes(data)
    fresh.replace(path)


def _remove_earlier(folder: Path) -> None:
    """Remove the result files that an earlier record in this folder names."""
    try:
        earlier = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        names = [result["file"] for result in earlier["results"] if result.get("file")]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no record of ours: nothing in this folder is ours to remove
    for name in names:
        if str(name) == f"{FILES}/{PurePosixPath(name).name}":
            (folder / name).unlink(missing_ok=True)
