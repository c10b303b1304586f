"""An answer as a folder: ``explore.png`` (a contact sheet, the queries first), ``results.json``, and ``files/``.

All is written aside first. A new folder then appears whole, by one rename. Into a folder that is there already (which
needs leave if it holds anything) the finished files are moved, ``results.json`` last: until then an earlier answer's
record and every file that it names stay as they were, afterwards those files go. Nothing else is touched.
"""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from espalier.apps.search.messages import SearchResponse
from espalier.core.errors import EspalierError, UsageError
from espalier.io.atomic import remove, remove_leftovers, temporary
from espalier.io.drawing.sheets import Cell, contact_sheet
from espalier.io.files.blobs import BlobError, read_bytes
from espalier.io.files.listing import is_url

SHEET, RECORD, FILES = "explore.png", "results.json", "files"
ASIDE = "explore"  # name of what is written aside inside a folder
COLUMNS, ON_SHEET = 8, 200
_KINDS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}


def check_folder(folder: Path, *, overwrite: bool) -> Path:
    """Refuse a folder that must not be written to, before anything is searched; return its absolute path."""
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"{there} is a file.", "Give a folder.")
    if not folder.is_dir() or overwrite:
        return folder
    try:
        remove_leftovers(folder, ASIDE)
        holds = any(folder.iterdir())
    except OSError as error:
        raise EspalierError(f"Cannot look into {folder}: {error.strerror or error}.", "Give another folder.") from error
    if holds:
        raise UsageError(f"{folder} is there already and not empty.", "Give another folder, or --overwrite.")
    return folder


def sheet(response: SearchResponse) -> bytes:
    """Draw the queries (framed) and then the results in their order, each with distance and id: a PNG."""
    uris = dict(response.pictures)
    queries = [
        Cell(
            uris.get(query, ""),
            query.value,
            "not this" if query.away else "query",
            marked=True,
            against=query.away,
            words=query.value if query.kind == "text" else "",
        )
        for query in response.request.queries
    ]
    several = len({result.dataset for result in response.results}) > 1
    results = [
        Cell(r.uri, f"{r.dataset}:{r.sample_id}" if several else r.sample_id, f"{n}.  {_far(r.distance)}")
        for n, r in enumerate(response.results[:ON_SHEET], start=1)
    ]
    rows = [cells[i : i + COLUMNS] for cells in (queries, results) for i in range(0, len(cells), COLUMNS)]
    return contact_sheet(rows, read_bytes, COLUMNS)


def save(response: SearchResponse, folder: Path, *, overwrite: bool = False, link: bool = False) -> dict[str, Any]:
    """Write an answer to a folder, which is made when missing; with ``overwrite`` into one that holds something.

    ``link`` makes symbolic links to local files instead of copies. Returns what ``results.json`` says: the answer, each
    result with its ``file`` below the folder (None where the bytes could not be had).
    """
    folder = check_folder(folder, overwrite=overwrite)
    inside = folder.is_dir()
    fresh = temporary(folder / ASIDE if inside else folder)
    try:
        fresh.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(fresh.parent, ASIDE if inside else folder.name)
        (fresh / FILES).mkdir(parents=True)
        earlier = _files_of_earlier(folder)
        record = response.as_json()
        for number, result in enumerate(record["results"], start=1):
            result["file"] = _put(fresh, folder, number, result["uri"], result["sample_id"], link)
        (fresh / SHEET).write_bytes(sheet(response))
        (fresh / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if inside:
            _move_in(fresh, folder, earlier)
        else:
            fresh.rename(folder)
    except OSError as error:
        raise EspalierError(f"Cannot write to {folder}: {error.strerror or error}.", "Give another folder.") from error
    finally:
        remove(fresh)
    return record


def _far(distance: float) -> str:
    return f"{distance:.0f}" if distance == int(distance) else f"{distance:.4f}"


def _put(fresh: Path, folder: Path, number: int, uri: str, sample: str, link: bool) -> str | None:
    """Copy or link one result's file, under its rank and name, and return its path below the folder."""
    local = uri.startswith("/")
    try:
        data = None if link and local else read_bytes(uri)
    except BlobError:
        return None
    whole = PurePosixPath(uri if local or is_url(uri) else sample).name
    name = PurePosixPath(whole.encode()[-200:].decode(errors="ignore"))  # a file's name has at most 255 bytes
    kind = name.suffix
    if data is not None and not kind:
        kind = next((end for start, end in _KINDS.items() if data.startswith(start)), "")
    stem, again = f"{number:04}_{name.stem}", 1
    while not _is_free(folder / FILES / (stem + kind), data, uri):
        again += 1
        stem = f"{number:04}_{name.stem}-{again}"
    target = fresh / FILES / (stem + kind)
    if data is None:
        target.symlink_to(uri)
    else:
        target.write_bytes(data)
    return f"{FILES}/{target.name}"


def _is_free(path: Path, data: bytes | None, uri: str) -> bool:
    """Tell whether nothing is lost by putting a file (or, without data, a link to ``uri``) at this path."""
    if path.is_symlink():
        return data is None and str(path.readlink()) == uri
    return not path.exists() or (data is not None and path.is_file() and path.read_bytes() == data)


def _move_in(fresh: Path, folder: Path, earlier: list[Path]) -> None:
    """Move what is finished into a folder that is there, the record last; then remove the earlier answer's files."""
    (folder / FILES).mkdir(exist_ok=True)
    placed = set()
    for path in sorted((fresh / FILES).iterdir()):
        placed.add(path.replace(folder / FILES / path.name))
    for name in (SHEET, RECORD):
        (fresh / name).replace(folder / name)
    for path in earlier:
        if path not in placed and (path.is_file() or path.is_symlink()):
            path.unlink()


def _files_of_earlier(folder: Path) -> list[Path]:
    """Return the result files that an earlier record in this folder names."""
    try:
        earlier = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        names = [str(result["file"]) for result in earlier["results"] if result.get("file")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # no record of ours: nothing in this folder is ours to remove
    return [folder / name for name in names if name == f"{FILES}/{PurePosixPath(name).name}"]
