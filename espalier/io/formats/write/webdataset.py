"""Writes WebDataset tars: kept samples with all their members, byte for byte, in full shards.

Samples keep the order of the source; every shard but a subset's last holds ``shard_size`` of them. Shards are numbered,
in a folder of their subset where they have one (``train/00000.tar``). Where the dataset was read with ``shard_in_key``,
keys hold the shard's path from now on.
"""

import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import Entry, open_binary, walk
from espalier.io.formats.read.tar_members import BadTar
from espalier.io.formats.read.webdataset import CLASS_FILES, Group, grouped, printable, shard_subset
from espalier.io.formats.write.base import Progress, Subset, Written, fresh, inside

_MEMBER = re.compile(r"tar:(.+)#(\d+)\+\d+", re.DOTALL)


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
        member = _MEMBER.fullmatch(uri)
        assert member is not None, uri
        wanted.setdefault(member[1], {})[int(member[2])] = sample_id
    return wanted


def _copy(shard: Entry, wanted: dict[int, str], shards: "Shards") -> Iterator[tuple[str, str]]:
    """Copy a shard's kept samples; yield each one's id and the shard that it is in now."""
    try:
        with open_binary(shard.uri) as file:
            for key, group in grouped(file, shard.n_bytes):
                sample_id = next((wanted[m.offset] for _, m in group if m.offset in wanted), None)
                if sample_id is not None:
                    named = _named(sample_id, key, group)
                    parts = [(name, member.size, _Part(file, member.offset, member.size)) for name, member in named]
                    yield sample_id, shards.add(shard_subset(shard.path), parts)
    except BadTar:
        return  # what follows the damage is recorded as unreadable and was never kept
    except OSError as error:
        raise EspalierError(f"{shard.uri} cannot be read: {error}.", "Check it and try again.") from error


def _named(sample_id: str, key: str, group: Group) -> Group:
    """Return the members with their names: the source's own, or with the shard before the key where ids have it."""
    for _, member in group:
        if member.kind:
            raise EspalierError(f"{sample_id}: {member.name!r} is {member.kind}.", "Pack the tar without links.")
    own = sample_id == printable(key)
    return [(member.name if own else sample_id + member.name.removeprefix(key), member) for _, member in group]


class Shards:
    """Tars of ``size`` samples that are being written, one a subset at a time, each filled before the next begins.

    They are ``00000.tar``, ``00001.tar``, ... below a folder of their subset where they have one.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._open: dict[str, tarfile.TarFile] = {}
        self._counts: Counter[str] = Counter()

    def add(self, subset: str, members: Sequence[tuple[str, int, "BinaryIO | _Part"]]) -> str:
        """Append a sample's members (name, bytes, content); return the shard's path below the folder.

        A member's header depends on its name and size only.
        """
        number, within = divmod(self._counts[subset], self._size)
        path = "/".join(filter(None, (subset, f"{number:05}.tar")))
        if within == 0:
            if subset in self._open:
                self._open[subset].close()
            self._open[subset] = tarfile.open(fresh(self._folder, path), "w", format=tarfile.PAX_FORMAT)
        for name, size, content in members:
            info = tarfile.TarInfo(name)
            info.size = size
            self._open[subset].addfile(info, content)  # type: ignore[arg-type]
        self._counts[subset] += 1
        return path

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *_: object) -> None:
        for tar in self._open.values():
            tar.close()


class _Part:
    """A member's bytes inside the source, as a file that tarfile copies from."""

    def __init__(self, source: BinaryIO, offset: int, size: int) -> None:
        self._source, self._at, self._end = source, offset, offset + size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        self._source.seek(self._at)
        data = self._source.read(min(size, self._end - self._at) if size >= 0 else self._end - self._at)
        self._at += len(data)
        return data
