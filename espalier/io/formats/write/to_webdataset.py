"""Writes WebDataset tars from any source: the picture as it is, ``.txt``, ``.cls`` and ``.json`` for each sample.

A key is the sample's own without a picture's extension. WebDataset ends a key at the first dot of a name, so dots in
the last part become ``_``; so do parts of a path that a tar must not hold. The ``.json`` always has the sample's own
``id``. The ``.cls`` is the number of the class, which ``classnames.txt`` names; where a sample has several, all of
them are the list ``label`` of the ``.json``. A subset has a folder of its own.
"""

import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from espalier.io.formats.read.webdataset import shard_subset
from espalier.io.formats.write.base import Progress, Subset, Written
from espalier.io.formats.write.convert import Item, Source, extension_of, plain_name, stem_of
from espalier.io.formats.write.extra_columns import as_json
from espalier.io.formats.write.webdataset import Shards, refuse_link

_CLASSES = "classnames.txt"


def pack_webdataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Pack the kept samples of any source into tars; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tars")
    source = Source(subset)
    keys = tar_keys(source.rows["sample_id"].to_pylist())
    numbers = _numbers(source)
    if numbers:
        (folder / _CLASSES).write_text("".join(f"{name}\n" for name in numbers), "utf-8")
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
