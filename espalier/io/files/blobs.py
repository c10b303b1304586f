"""Reads the bytes behind a uri of ``raw_dataset``: a file, an object, a member of an archive, a cell of a table.

Forms of a uri:

``/abs/path``
    a local file;
``scheme://...``
    anything that fsspec opens;
``tar:PATH#OFFSET+SIZE``
    bytes of an uncompressed tar member, read in place (PATH is an absolute path or a URL);
``parquet:PATH#ROW&COLUMN``, ``arrow:PATH#ROW&COLUMN``
    a binary cell (``espalier.io.files.cells``); COLUMN is percent-encoded, ``image.bytes`` is a field of a struct;
``data:image/png;base64,...``
    the bytes themselves, for the few formats that keep pictures as numbers and have no file to point to.

All of it may be called from many threads. A path is absolute and holds no ``..``: a uri cannot climb out of where its
reader was.
"""

import base64
import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.cells import NoCell, read_cell
from espalier.io.files.listing import filesystem, is_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MAX_BYTES = 256 << 20
_CHUNK = 4 << 20
_CELL = re.compile(r"(parquet|arrow):(.+)#(\d+)&([^#&]+)", re.DOTALL)
_TAR = re.compile(r"tar:(.+)#(\d+)\+(\d+)", re.DOTALL)
_REASONS = {
    FileNotFoundError: "there is no such file",
    PermissionError: "permission denied",
    IsADirectoryError: "it is a folder",
}


class BlobError(OSError):
    """The bytes behind a uri cannot be had; the text is a short reason."""


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of one sample (None where there are more than ``limit``) and what identifies this state of them.

    ``mtime_ns`` is that of the file, or of a member's or cell's container; a number that changes with it where a store
    gives an ETag only, 0 where it gives nothing.
    """

    data: bytes | None
    sha256: str
    n_bytes: int
    mtime_ns: int


def read_bytes(uri: str) -> bytes:
    """Read the bytes behind ``uri``; BlobError when they are gone, cut short, or more than ``MAX_BYTES``."""
    data = read_blob(uri, digest=False).data
    if data is None:
        raise BlobError(f"more than {MAX_BYTES >> 20} MiB")
    return data


def read_blob(uri: str, *, limit: int = MAX_BYTES, digest: bool = True) -> Blob:
    """Read the bytes behind ``uri`` once, with their SHA-256 (left empty without ``digest``), size and time.

    Above ``limit`` bytes the content is hashed in blocks and not kept. A file that changes while it is read is a
    BlobError.
    """
    try:
        if uri.startswith("data:"):
            return _blob(_inline(uri), 0, digest)
        if cell := _CELL.fullmatch(uri):
            return _read_cell(cell, digest)
        path, offset, size = _located(uri)
        read = _read_remote if is_url(path) else _read_file
        return read(path, offset, size, limit, digest)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise BlobError(_REASONS[type(error)]) from error


def read_head(uri: str, n: int = 64) -> bytes:
    """Read the first ``n`` bytes behind ``uri`` (fewer when there are no more); a cell is read whole."""
    if uri.startswith("data:") or _CELL.fullmatch(uri):
        return read_bytes(uri)[:n]
    path, offset, size = _located(uri)
    wanted = n if size is None else min(n, size)
    try:
        if is_url(path):
            system, inside = _remote(path)
            return bytes(system.cat_file(inside, start=offset, end=offset + wanted))[:wanted]
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path a file costs more than the call
            file.seek(offset)
            return file.read(wanted)
    except (OSError, EspalierError) as error:
        raise _no_file(error) from error


def stat_blob(uri: str) -> tuple[int | None, int]:
    """Return size (None where it takes reading to know) and mtime in ns, without reading."""
    if uri.startswith("data:"):
        return len(_inline(uri)), 0
    cell = _CELL.fullmatch(uri)
    path, _, size = (_inside(cell[2]), 0, None) if cell else _located(uri)
    try:
        if is_url(path):
            info = _remote_info(path)
            whole, mtime = info.get("size"), _remote_mtime(info)
        else:
            status = os.stat(path)  # noqa: PTH116
            whole, mtime = status.st_size, status.st_mtime_ns
    except OSError as error:
        raise _no_file(error) from error
    return None if cell else whole if size is None else size, mtime


def _no_file(error: Exception) -> BlobError:
    return BlobError("there is no such file" if isinstance(error, FileNotFoundError) else str(error))


def _located(uri: str) -> tuple[str, int, int | None]:
    """Return the file or object behind ``uri``, the first byte in it, and how many (None: to its end)."""
    member = _TAR.fullmatch(uri)
    return (_inside(member[1]), int(member[2]), int(member[3])) if member else (_inside(uri), 0, None)


def _inline(uri: str) -> bytes:
    try:
        return base64.b64decode(uri.split(",", 1)[1], validate=True)
    except (IndexError, ValueError) as error:
        raise BlobError("the uri holds no base64") from error


def _read_cell(cell: re.Match[str], digest: bool) -> Blob:
    _, mtime = stat_blob(cell[0])
    try:
        data = read_cell(cell[1], cell[2], int(cell[3]), unquote(cell[4]))
    except (NoCell, pa.ArrowException) as error:
        raise BlobError(str(error)) from error
    return _blob(data, mtime, digest)


def _blob(data: bytes, mtime_ns: int, digest: bool) -> Blob:
    return Blob(data, hashlib.sha256(data).hexdigest() if digest else "", len(data), mtime_ns)


def cell_uri(kind: str, path: str, row: int, column: str) -> str:
    """Write the uri of a cell; ``kind`` is parquet or arrow."""
    return f"{kind}:{path}#{row}&{quote(column, safe='.')}"


def _inside(path: str) -> str:
    if not is_url(path) and not path.startswith("/"):
        raise BlobError(f"not an absolute path: {path!r}")
    if ".." in path.split("://", 1)[-1].split("/"):
        raise BlobError(f"the path climbs out of its folder: {path!r}")
    return path


def _read_file(path: str, offset: int, size: int | None, limit: int, digest: bool) -> Blob:
    # Without O_NONBLOCK a named pipe would hold the thread for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError(path)
        if not stat.S_ISREG(before.st_mode):
            raise BlobError("it is not a regular file")
        wanted = before.st_size - offset if size is None else size
        blob = _gather(lambda at, n: os.pread(descriptor, n, offset + at), wanted, limit, digest)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise BlobError("the file changed while it was read")
    return Blob(blob[0], blob[1], wanted, before.st_mtime_ns)


def _gather(read: Callable[[int, int], bytes], wanted: int, limit: int, digest: bool) -> tuple[bytes | None, str]:
    """Collect ``wanted`` bytes in blocks; keep them when they are no more than ``limit``."""
    digester, blocks, done = hashlib.sha256(), [], 0  # type: Any, list[bytes], int
    while done < wanted:
        block = read(done, min(wanted - done, _CHUNK))
        if not block:
            raise BlobError(f"the file ends after {done} of {wanted} bytes")
        done += len(block)
        if done > wanted:
            raise BlobError("the server sends whole files only, and this is a part of one")
        if digest:
            digester.update(block)
        if wanted <= limit:
            blocks.append(block)
    data = b"".join(blocks) if wanted <= limit else None
    return data, digester.hexdigest() if digest else ""


def _read_remote(uri: str, offset: int, size: int | None, limit: int, digest: bool) -> Blob:
    try:
        info = _remote_info(uri)
        system, path = _remote(uri)
        wanted = int(info["size"]) - offset if size is None else size
        data, sha256 = _gather(
            lambda at, n: system.cat_file(path, start=offset + at, end=offset + at + n), wanted, limit, digest
        )
    except (OSError, EspalierError) as error:
        raise error if isinstance(error, OSError) else BlobError(str(error)) from error
    except Exception as error:  # object stores raise kinds of their own
        raise BlobError(f"the store failed: {error}") from error
    return Blob(data, sha256, wanted, _remote_mtime(info))


@lru_cache(maxsize=64)
def _system(scheme: str) -> "AbstractFileSystem":
    return filesystem(scheme + "://")[0]


def _remote(uri: str) -> tuple["AbstractFileSystem", str]:
    system = _system(uri.split("://", 1)[0])
    return system, system._strip_protocol(uri)


def _remote_info(uri: str) -> dict[str, Any]:
    system, path = _remote(uri)
    return dict(system.info(path))


def _remote_mtime(info: dict[str, Any]) -> int:
    """Return an object's time in ns, or a number made of its ETag; 0 when the store gives neither."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created", "ETag", "etag"):
        value = info.get(key)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e6) * 1000
        if isinstance(value, int | float):
            return int(value * 1e9)
        if isinstance(value, str) and value:
            return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest()) >> 2
    return 0
