"""Lists what a location holds: a folder, a file or an object store's prefix, one entry at a time.

The landing zone's fingerprint and the folder readers share this walk, so that both see the same files. Its rules: names
that begin with a dot are passed over, and so is ``_SUCCESS`` (a signal, not data); entries of a folder come in byte
order of their UTF-8 names; a link that leaves the root, or that leads to a folder, is reported with a reason and never
followed; a folder that cannot be listed raises, because failure is not emptiness.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from espalier.core.errors import EspalierError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SUCCESS = "_SUCCESS"
LEAVES = "the link leaves the folder of the dataset"
MAX_PLACES = 1_000_000
_BRACE = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("abfs", "az", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
    "oss": "ossfs",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a listing: its exact POSIX path below the root (bytes that are not UTF-8 appear escaped) and its uri.

    ``n_bytes`` is -1 and ``stamp`` '' when the walk was asked for names only; the stamp is what changes with the
    content besides the size: mtime in ns, an ETag. ``error`` tells why the entry must not be read.
    """

    path: str
    uri: str
    n_bytes: int = -1
    stamp: str = ""
    error: str | None = None


def is_url(uri: str) -> bool:
    """Tell whether ``uri`` names an fsspec file system (``s3://...``) and not a local path."""
    return _URL.match(uri) is not None


def local_path(uri: str) -> Path | None:
    """Return the local path that ``uri`` means, or None for a remote one (``file://`` is local)."""
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if is_url(uri) else Path(uri)


def filesystem(uri: str) -> tuple["AbstractFileSystem", str]:
    """Open the file system of a URL; return it with the path inside it."""
    import fsspec  # most datasets are local folders, and it takes a while to import

    try:
        return fsspec.core.url_to_fs(uri)
    except ImportError as error:
        scheme = uri.split("://", 1)[0]
        package = PACKAGES.get(scheme)
        missing = f"the package {package}" if package else f"a package ({error})"
        remedy = f"pip install {package}" if package else "Install the fsspec package that serves it."
        raise EspalierError(f"{uri}: {scheme}:// needs {missing}, which is not installed.", remedy) from error
    except ValueError as error:
        raise EspalierError(f"{uri}: {error}.", "Use a local path or a URL that fsspec knows.") from error


def open_binary(uri: str) -> BinaryIO:
    """Open a file that lies on a disk or in a store."""
    path = local_path(uri)
    if path is not None:
        return path.open("rb", buffering=1 << 18)
    system, inside = filesystem(uri)
    opened: BinaryIO = system.open(inside, "rb")
    return opened


def lies_in(path: str, real_folder: str) -> bool:
    """Tell whether a local path, its links followed, is a folder (one without links) or below it."""
    return (os.path.realpath(path) + "/").startswith(real_folder.rstrip("/") + "/")


def is_pattern(uri: str) -> bool:
    """Tell whether ``uri`` stands for several places (``*``, ``?``, ``{00..99}``, ``a::b``) and not for one."""
    if not any(sign in uri for sign in ("*", "?", "{", "::")):
        return False
    return is_url(uri) or not Path(uri).exists()


def expand(uri: str) -> list[str]:
    """Return the places that ``uri`` stands for: itself, or all that its pattern names.

    Patterns are those of WebDataset: ``::`` between several, ``{000..099}`` and ``{a,b}``, and glob signs. Numbers and
    choices keep their order; what a glob sign finds is in byte order.
    """
    if not is_pattern(uri):
        return [uri]
    places: list[str] = []
    for part in uri.split("::"):
        for place in _braces(part):
            places += _globbed(place) if any(sign in place for sign in "*?") else [place]
    return places


def _braces(pattern: str) -> list[str]:
    brace = _BRACE.search(pattern)
    if brace is None:
        return [pattern]
    first, last, choices = brace.groups()
    if choices is not None:
        middle = choices.split(",")
    else:
        width = len(first) if first.startswith("0") else 0
        middle = [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
    ends = _braces(pattern[brace.end() :])
    if len(middle) * len(ends) > MAX_PLACES:
        raise EspalierError(f"{pattern} stands for more than {MAX_PLACES} places.", "Split it up.")
    return [pattern[: brace.start()] + one + end for one in middle for end in ends]


def _globbed(pattern: str) -> list[str]:
    system, path = filesystem(pattern)
    try:
        matches = sorted(system.glob(path), key=os.fsencode)
    except Exception as error:
        raise unreadable(pattern, error) from error
    if not matches:
        raise EspalierError(f"Nothing matches {pattern}.", "Check the pattern.")
    return [system.unstrip_protocol(name) for name in matches] if is_url(pattern) else matches


def walk(uri: str, *, stat: bool = False) -> Iterator[Entry]:
    """Yield every file below ``uri``, or the file itself, in byte order of the names in each folder.

    The paths of a pattern's entries are whole uris. ``stat`` also gives sizes and stamps (one system call a file more
    on local disks). A location that does not exist or cannot be listed is an EspalierError.
    """
    if is_pattern(uri):
        for place in expand(uri):
            for entry in walk(place, stat=stat):
                yield replace(entry, path=entry.uri)
        return
    path = local_path(uri)
    yield from _walk_local(path, stat) if path is not None else _walk_remote(uri, stat)


def _walk_local(root: Path, stat: bool) -> Iterator[Entry]:
    if root.is_file():
        yield _entry(root.name, str(root), stat)
        return
    real = os.path.realpath(root)
    stack = [("", str(root))]
    while stack:
        prefix, folder = stack.pop()
        below = []
        for item in _listed(folder):
            relative = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                below.append((relative + "/", item.path))
            elif item.is_symlink():
                yield _link(real, relative, item.path, stat)
            else:
                yield _entry(relative, item.path, stat)
        stack.extend(reversed(below))


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            kept = [item for item in items if not item.name.startswith(".") and item.name != SUCCESS]
    except OSError as error:
        raise unreadable(folder, error) from error
    return sorted(kept, key=lambda item: os.fsencode(item.name))


def unreadable(uri: str, error: Exception) -> EspalierError:
    """Make the error for a location that is missing or cannot be listed."""
    what, remedy = f"{uri} cannot be listed: {error}.", "Try again when the store answers."
    if isinstance(error, FileNotFoundError) and is_url(uri):
        what, remedy = f"There is nothing at {uri}, or no answer.", "Check the URL and that its store answers."
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        what, remedy = f"There is nothing at {uri}.", "Check the path, or mount what it names."
    elif isinstance(error, PermissionError):
        what, remedy = f"{uri} cannot be listed: permission denied.", "Give this user the right to read it."
    return EspalierError(what, remedy)


def _entry(relative: str, path: str, stat: bool, error: str | None = None) -> Entry:
    if (printable := _printable(relative)) != relative or _printable(path) != path:
        return Entry(printable, _printable(path), error="the file name is not valid UTF-8")
    if not stat:
        return Entry(relative, path, error=error)
    try:
        info = os.stat(path, follow_symlinks=error is None)  # noqa: PTH116 (a Path a file costs more than the call)
    except FileNotFoundError:
        return Entry(relative, path, 0, "gone", error)
    except OSError as problem:
        raise unreadable(path, problem) from problem
    return Entry(relative, path, info.st_size, str(info.st_mtime_ns), error)


def _link(real: str, relative: str, path: str, stat: bool) -> Entry:
    error = None
    if not lies_in(path, real):
        error = LEAVES
    elif os.path.isdir(path):  # noqa: PTH112
        error = "a link to a folder is not followed"
    elif not os.path.exists(path):  # noqa: PTH110
        error = "the link leads to nothing"
    return _entry(relative, path, stat, error)


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _walk_remote(uri: str, stat: bool) -> Iterator[Entry]:
    system, root = filesystem(uri)
    root = root.rstrip("/")
    system.invalidate_cache()  # what it remembers of earlier listings
    try:
        if _is_remote_file(system, root):
            yield _remote_entry(system, root.rsplit("/", 1)[-1], system.info(root), stat)
            return
        if not system.exists(root):
            raise FileNotFoundError(uri)
        for folder, below, files in system.walk(root, detail=True, on_error="raise"):
            if _is_web(system):
                below, files = _own(folder, below), _own(folder, files)
            kept = sorted((name for name in below if not name.startswith(".")), key=str.encode)
            ordered = {name: below[name] for name in kept}
            below.clear()
            below.update(ordered)
            prefix = folder.rstrip("/")[len(root) :].strip("/")
            for name in sorted(files, key=str.encode):
                if name and not name.startswith(".") and name != SUCCESS:
                    yield _remote_entry(system, f"{prefix}/{name}" if prefix else name, files[name], stat)
    except EspalierError:
        raise
    except Exception as error:
        raise unreadable(uri, error) from error


def _is_remote_file(system: "AbstractFileSystem", root: str) -> bool:
    """Tell a file from a folder; to HTTP all is a file, and a page of links stands for a folder."""
    if not system.isfile(root):
        return False
    return not _is_web(system) or system.info(root).get("mimetype") != "text/html"


def _is_web(system: "AbstractFileSystem") -> bool:
    return "http" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)


def _own(folder: str, linked: dict[str, Any]) -> dict[str, Any]:
    """Leave out, in place, what a page of links names and what does not lie right below its folder; return the rest."""
    for name in list(linked):
        above, _, last = linked[name]["name"].rstrip("/").rpartition("/")
        if above != folder.rstrip("/") or unquote(last) in (".", "..") or "/" in unquote(last):
            del linked[name]
    return linked


def _remote_entry(system: "AbstractFileSystem", relative: str, info: dict[str, Any], stat: bool) -> Entry:
    if stat and info.get("size") is None:
        info = {**info, **system.info(info["name"])}  # a page of links names no sizes
    stamp = "|".join(f"{key}={info[key]}" for key in _STAMPS if info.get(key) is not None)
    path = unquote(relative) if _is_web(system) else relative
    return Entry(path, system.unstrip_protocol(info["name"]), int(info.get("size") or 0), stamp)


def folders(uri: str) -> list[str]:
    """Return the names of the folders right below ``uri`` in byte order, without hidden ones and links."""
    path = local_path(uri)
    if path is not None:
        items = _listed(str(path)) if not path.is_file() else []
        return [item.name for item in items if item.is_dir(follow_symlinks=False)]
    system, root = filesystem(uri)
    try:
        paths = [item["name"] for item in system.ls(root, detail=True) if item["type"] == "directory"]
    except Exception as error:
        raise unreadable(uri, error) from error
    names = [path.rstrip("/").rsplit("/", 1)[-1] for path in paths]
    names = [unquote(name) for name in names] if _is_web(system) else names
    return sorted((name for name in names if not name.startswith(".")), key=os.fsencode)


def has_success(uri: str) -> bool:
    """Tell whether the location says that it is complete, by a file ``_SUCCESS`` at its top."""
    if is_pattern(uri):
        return False
    path = local_path(uri)
    if path is not None:
        return (path / SUCCESS).is_file()
    system, root = filesystem(uri)
    system.invalidate_cache()
    return bool(system.exists(f"{root.rstrip('/')}/{SUCCESS}"))
