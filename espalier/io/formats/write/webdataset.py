"""Writes WebDataset tars: kept samples with all their members, byte for byte, in full shards.

Samples keep the order of the source; every shard but a subset's last holds ``shard_size`` of them. Shards are
numbered, in a folder of their subset where they have one (``train/00000.tar``). Where the dataset was read with
``shard_in_key``, keys hold the shard's path from now on. What does not belong here: headers on the way in
(``espalier.io.formats.read.tar_members``).
"""

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import Entry, walk
from espalier.io.formats.read.tar_members import BadTar, Member, members
from espalier.io.formats.read.webdataset import CLASS_FILES, open_shard, printable, shard_subset, split_member
from espalier.io.formats.write.base import Progress, Subset, Written, fresh, inside

_MEMBER = re.compile(r"tar:(.+)#(\d+)\+\d+", re.DOTALL)
_Group = tuple[str, list[tuple[str, Member]]]


class Readable(Protocol):
    """A member's content."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        ...


def write_webdataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept samples of the source's tars into new ones; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tars")
    wanted = _wanted(subset)
    files: dict[str, str] = {}
    with Shards(folder, subset.shard_size) as shards:
        for shard in walk(subset.card.uri, stat=True):
            if shard.uri in wanted:
                for sample_id, name in _copy(shard, wanted[shard.uri], shards):
                    files[sample_id] = name
                    progress(1)
            elif shard.path in CLASS_FILES and shard.error is None:
                inside(folder, shard.path).write_bytes(read_bytes(shard.uri))
    return Written(files)


def refuse_link(link: bool, what: str) -> None:
    """Refuse ``--link`` for a format that packs its pictures."""
    if link:
        raise EspalierError(f"Pictures inside {what} cannot be linked.", "Use --copy.")


def _wanted(subset: Subset) -> dict[str, dict[int, str]]:
    """Return the kept samples of each shard: where the picture begins, and the sample id."""
    wanted: dict[str, dict[int, str]] = {}
    for sample_id, uri in zip(subset.rows["sample_id"].to_pylist(), subset.rows["uri"].to_pylist(), strict=True):
        found = _MEMBER.fullmatch(uri)
        assert found is not None, uri
        wanted.setdefault(found[1], {})[int(found[2])] = sample_id
    return wanted


def _copy(shard: Entry, wanted: dict[int, str], shards: "Shards") -> Iterator[tuple[str, str]]:
    """Copy a shard's kept samples; yield each one's id and the shard that it is in now."""
    try:
        with open_shard(shard.uri) as file:
            for key, group in _groups(file, shard.n_bytes):
                sample_id = next((wanted[m.offset] for _, m in group if m.offset in wanted), None)
                if sample_id is not None:
                    named = _named(sample_id, key, group)
                    parts = [(name, member.size, _Part(file, member.offset, member.size)) for name, member in named]
                    yield sample_id, shards.add(shard_subset(shard.path), parts)
    except BadTar:
        return  # what follows the damage is recorded as unreadable and was never kept
    except OSError as error:
        raise EspalierError(f"{shard.uri} cannot be read: {error}.", "Check it and try again.") from error


def _groups(file: BinaryIO, size: int) -> Iterator[_Group]:
    """Form samples of consecutive members with one key, as the reader does."""
    key, group = "", []  # type: str, list[tuple[str, Member]]
    for member in members(file, size):
        found, name = split_member(member.name)
        if found is None:
            continue
        if group and found != key:
            yield key, group
            group = []
        key = found
        group.append((name, member))
    if group:
        yield key, group


def _named(sample_id: str, key: str, group: list[tuple[str, Member]]) -> list[tuple[str, Member]]:
    """Return the members with their names: the source's own, or with the shard before the key where ids have it."""
    for _, member in group:
        if member.kind:
            raise EspalierError(f"{sample_id}: {member.name!r} is {member.kind}.", "Pack the tar without links.")
    own = sample_id == printable(key)
    return [(member.name if own else sample_id + member.name.removeprefix(key), member) for _, member in group]


class Shards:
    """Tars that are being written, one a subset at a time, each filled before the next begins.

    Parameters
    ----------
    folder : Path
        Where they go: ``00000.tar``, ``00001.tar``, ... below a folder of their subset where they have one.
    size : int
        Samples of a full one.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._open: dict[str, tarfile.TarFile] = {}
        self._counts: dict[str, int] = {}

    def add(self, subset: str, members: Sequence[tuple[str, int, Readable]]) -> str:
        """Append a sample's members (name, bytes, content); return the shard's path below the folder.

        A member's header depends on its name and size only.
        """
        count = self._counts.get(subset, 0)
        path = "/".join(filter(None, (subset, f"{count // self._size:05}.tar")))
        if count % self._size == 0:
            self._close(subset)
            self._open[subset] = tarfile.open(fresh(self._folder, path), "w", format=tarfile.PAX_FORMAT)
        for name, size, content in members:
            info = tarfile.TarInfo(name)
            info.size = size
            self._open[subset].addfile(info, content)  # type: ignore[arg-type]
        self._counts[subset] = count + 1
        return path

    def _close(self, subset: str) -> None:
        if subset in self._open:
            self._open.pop(subset).close()

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *_: object) -> None:
        for subset in list(self._open):
            self._close(subset)


class _Part:
    """A member's bytes inside the source, as a file that tarfile copies from."""

    def __init__(self, source: BinaryIO, offset: int, size: int) -> None:
        self._source, self._at, self._end = source, offset, offset + size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        self._source.seek(self._at, os.SEEK_SET)
        data = self._source.read(min(size, self._end - self._at) if size >= 0 else self._end - self._at)
        self._at += len(data)
        return data
