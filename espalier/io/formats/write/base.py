"""What every writer of a subset is given and gives back, and how a picture gets into the new folder.

Here are the subset, the protocol, paths that cannot leave the folder, copying and linking.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import is_url
from espalier.io.landing.cards import Card

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Subset:
    """What is written out: the kept ``rows`` in order of sample_id, from a reader of the format ``source``.

    The columns are sample_id, subset, uri, labels, caption and maybe uid. ``shard_size`` is for formats that have
    shards; ``categories`` are the classes in the dataset's order, () where nobody looked them up.
    """

    card: Card
    source: str
    rows: pa.Table
    shard_size: int = 10_000
    categories: tuple[str, ...] = ()

    def ids(self) -> set[str]:
        """Return the sample ids."""
        return set(self.rows["sample_id"].to_pylist())


@dataclass(frozen=True)
class Written:
    """What a writer did: the file of each sample below the folder ('' where it has none of its own), and ``notes``.

    The notes tell what the format could not hold, or holds otherwise, a sentence each.
    """

    files: dict[str, str]
    notes: tuple[str, ...] = ()


class Writer(Protocol):
    """Writes a subset into an empty folder."""

    def __call__(self, subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
        """Write it and say where each sample is."""
        ...


def inside(folder: Path, relative: str) -> Path:
    """Return the path of ``relative`` in ``folder``, its folders made; one that climbs out is refused."""
    parts = relative.split("/")
    if "\0" in relative or any(part in ("", ".", "..") for part in parts):
        raise EspalierError(f"The name {relative!r} does not stay in the export's folder.", "Rename that sample.")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def fresh(folder: Path, relative: str) -> Path:
    """Return :func:`inside` for a file that must not be there yet: names of two samples may be one on a disk."""
    path = inside(folder, relative)
    if path.exists():
        raise EspalierError(f"Two samples or subsets want the file {relative}.", "Rename one of them.")
    return path


def refuse_link(link: bool, what: str) -> None:
    """Refuse ``--link`` for a format that packs its pictures."""
    if link:
        raise EspalierError(f"Pictures inside {what} cannot be linked.", "Use --copy.")


def put_file(uri: str, path: Path, *, link: bool) -> None:
    """Put the bytes behind ``uri`` at ``path``: copied with their time, or as a hard link."""
    local = not is_url(uri) and uri.startswith("/")
    try:
        if link:
            if not local:
                raise EspalierError(f"{uri} is no local file and cannot be linked.", "Use --copy.")
            os.link(os.path.realpath(uri), path)
        elif local:
            shutil.copy2(uri, path)
        else:
            path.write_bytes(read_bytes(uri))
    except FileExistsError as error:
        raise EspalierError(f"Two samples want the file {path.name}.", "Rename one of them.") from error
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise EspalierError(f"{uri} lies on another disk and cannot be linked.", "Use --copy.") from error
        raise EspalierError(f"{uri} cannot be written to {path}: {error.strerror or error}.", "") from error
