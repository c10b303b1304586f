"""Writes WebDataset tars: kept samples with all their members, byte for byte, or samples of any other source.

Samples keep the order of the source; every shard but a subset's last holds ``shard_size`` of them. Shards are numbered,
in a folder of their subset where they have one (``train/00000.tar``). Where the dataset was read with ``shard_in_key``,
keys hold the shard's path from now on.

From any other source a sample is the picture as it is, ``.txt``, ``.cls`` and ``.json``. A key is the sample's own
without a picture's extension. WebDataset ends a key at the first dot of a name, so dots in the last part become ``_``;
so do parts of a path that a tar must not hold. The ``.json`` always has the sample's own ``id``. The ``.cls`` is the
number of the class, which ``classnames.txt`` names; where a sample has several, all of them are the list ``label`` of
the ``.json``.
"""

import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import Entry, open_binary, walk
from espalier.io.formats.read.tar_members import BadTar
from espalier.io.formats.read.webdataset import CLASS_FILES, Group, grouped, printable, shard_subset
from espalier.io.formats.write.base import Progress, Subset, Written, fresh, inside, refuse_link
from espalier.io.formats.write.convert import Item, Source, extension_of, plain_name, stem_of
from espalier.io.formats.write.extra_columns import as_json

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


def pack_webdataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Pack the kept samples of any source into tars; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tars")
    source = Source(subset)
    keys = tar_keys(source.rows["sample_id"].to_pylist())
    numbers = _numbers(source)
    if numbers:
        (folder / CLASS_FILES[0]).write_text("".join(f"{name}\n" for name in numbers), "utf-8")
    files: dict[str, str] = {}
    with Shards(folder, subset.shard_size) as shards:
        for item in source.items():
            key = keys[item.sample_id]
            members = [(f"{key}.{name}", len(data), io.BytesIO(data)) for name, data in _fields(item, numbers)]
            files[item.sample_id] = shards.add(plain_name(item.subset), members)
            progress(1)
    renamed = sum(key != stem_of(sample_id) for sample_id, key in keys.items())
    notes = [f"{renamed:,} keys are written without dots; the .json has the samples' own ids."] if renamed else []
    if not source.has_pictures:
        notes.append("These tars hold texts only; Espalier itself reads texts from Parquet and lists.")
    unknown = {s for s in set(source.rows["subset"].to_pylist()) if s and shard_subset(f"{plain_name(s)}/0.tar") != s}
    notes += [f"The subset {name!r} is a folder only; readers do not know it by that name." for name in sorted(unknown)]
    return Written(files, (*notes, *source.notes("webdataset")))


def tar_keys(ids: list[str]) -> dict[str, str]:
    """Return a key without dots in its last part for each sample id, all distinct."""
    short = {sample_id: _key(stem_of(sample_id)) for sample_id in ids}
    for again in (_key, lambda sample_id: f"{_key(sample_id)}_{hashlib.sha256(sample_id.encode()).hexdigest()[:16]}"):
        counts = Counter(short.values())
        if len(counts) == len(short):
            break
        short = {i: key if counts[key] == 1 else again(i) for i, key in short.items()}
    return short


def _key(text: str) -> str:
    parts = [plain_name(part) or "_" for part in text.split("/")]
    return "/".join([*parts[:-1], parts[-1].replace(".", "_")])


def _numbers(source: Source) -> dict[str, int]:
    """Return the number of each class; none when a sample has several, or a name does not fit a line."""
    classes = source.classes()
    fits = all(name == name.strip() and name and len(name.splitlines()) == 1 for name in classes)
    return {name: number for number, name in enumerate(classes)} if source.most_labels == 1 and fits else {}


def _fields(item: Item, numbers: dict[str, int]) -> list[tuple[str, bytes]]:
    about: dict[str, Any] = {"id": item.sample_id, **as_json(dict(item.extra))}
    fields = [(extension_of(item.data), item.data)] if item.uri else []
    if item.caption is not None:
        fields.append(("txt", item.caption.encode()))
    if numbers and item.labels:
        fields.append(("cls", str(numbers[item.labels[0]]).encode()))
    elif item.labels:
        about["label"] = list(item.labels)
    if item.uid:
        about["uid"] = item.uid
    if item.objects:
        about["objects"] = item.objects
    return [*fields, ("json", json.dumps(about, ensure_ascii=False).encode())]
