"""Writes tables from any source: Parquet with the pictures in it, and folders of Hugging Face ``datasets``.

Parquet is of img2dataset's kind: a row a sample, ``key``, ``caption``, ``label`` and the picture's bytes in a column
that is called by their kind (``jpg``, ``png``, ``webp``; ``image`` where they are of several). A saved dataset has the
picture as an ``Image`` feature and the label as a ``ClassLabel``. Rows lie contiguously; a column that no sample has
is left out; a column of labels holds lists where a sample has several. Boxes are ``objects``.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from espalier.core.errors import EspalierError
from espalier.io.formats.write.base import Progress, Subset, Written, fresh, refuse_link
from espalier.io.formats.write.convert import Item, Source, extension_of, plain_name, stem_of
from espalier.io.formats.write.extra_columns import as_json
from espalier.io.formats.write.tables import write_json

_BYTES = 64 << 20
_ROWS = 1024
_OBJECTS = pa.struct([("bbox", pa.list_(pa.list_(pa.float64()))), ("category", pa.list_(pa.string()))])
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PLAIN = {"float": "float32", "double": "float64", "bool": "bool"} | {
    name: name for size in (8, 16, 32, 64) for name in (f"int{size}", f"uint{size}")
}
_NO_OBJECTS: dict[str, list[Any]] = {"bbox": [], "category": []}
_Column = tuple[pa.Field, Callable[[Item], Any]]
_Open = Callable[[str, int], Any]


def pack_parquet(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept samples of any source into Parquet files; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tables")
    source = Source(subset)
    columns = _described(source, "key", "caption", pa.string(), str, plain=False)
    if set(source.rows["subset"].to_pylist()) != {""}:
        columns.append((pa.field("split", pa.string()), lambda item: item.subset))
    if source.has_pictures:
        kinds = source.kinds()
        name = (len(kinds) == 1 and kinds.pop()) or "image"
        columns.append((pa.field(name, pa.binary()), lambda item: item.data if item.uri else None))
    schema = pa.schema([field for field, _ in columns])
    small = [field.name for field in schema if not pa.types.is_binary(field.type)]

    def start(name: str, number: int) -> tuple[str, Any]:
        path = "/".join(filter(None, (plain_name(name), f"{number:05}.parquet")))
        # Nested columns are compressed by the names of their leaves; pictures are compressed already.
        codecs = {leaf: "zstd" if leaf.split(".")[0] in small else "none" for leaf in _leaves(schema)}
        return path, pq.ParquetWriter(fresh(folder, path), schema, compression=codecs)

    files = _fill(source, columns, schema, start, progress)
    return Written(files, source.notes("parquet"))


def save_dataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept samples of any source as ``save_to_disk`` does; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tables")
    source = Source(subset)
    classes = {name: number for number, name in enumerate(source.classes())}
    columns = _described(source, "id", "text", pa.int64(), classes.__getitem__, plain=True)
    if source.has_pictures:
        columns.insert(0, (pa.field("image", _IMAGE), _picture))
    features = _features(columns, list(classes))
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([field for field, _ in columns], metadata)
    sizes = Counter(source.rows["subset"].to_pylist())
    splits = {name: plain_name(name) or ("" if len(sizes) == 1 else "unnamed") for name in sorted(sizes)}
    names = {name: _file_names(sizes[name], subset.shard_size) for name in sizes}

    def start(name: str, number: int) -> tuple[str, Any]:
        path = "/".join(filter(None, (splits[name], names[name][number])))
        return path, pa.ipc.new_stream(str(fresh(folder, path)), schema)

    files = _fill(source, columns, schema, start, progress)
    for name, split in splits.items():
        _describe(folder / split, split or "train", names[name], sizes[name], features)
    if list(splits.values()) != [""]:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits.values())}), "utf-8")
    return Written(files, source.notes("hf_disk"))


def _described(
    source: Source, key: str, caption: str, kind: pa.DataType, label: Callable[[str], Any], *, plain: bool
) -> list[_Column]:
    """Return the columns that need no picture, and how an item fills them; ``label`` makes a ``kind`` of a name."""
    columns: list[_Column] = [(pa.field(key, pa.string()), lambda item: item.sample_id)]
    if source.has_caption:
        columns.append((pa.field(caption, pa.string()), lambda item: item.caption))
    if source.most_labels == 1:
        columns.append((pa.field("label", kind), lambda item: label(item.labels[0]) if item.labels else None))
    if source.most_labels > 1:
        columns.append((pa.field("label", pa.list_(kind)), lambda item: [label(name) for name in item.labels]))
    if source.has_uid:
        columns.append((pa.field("uid", pa.string()), lambda item: item.uid))
    if source.objects:
        columns.append((pa.field("objects", _OBJECTS), lambda item: item.objects or _NO_OBJECTS))
    return columns + [_extra(field, plain=plain) for field in source.extra_columns.fields]


def _extra(field: pa.Field, *, plain: bool) -> _Column:
    """Return a column of the source as it is; a nested one as JSON where ``plain``, and a list's value as text."""
    name = field.name
    if pa.types.is_string(field.type) or (plain and str(field.type) not in _PLAIN):
        return pa.field(name, pa.string()), lambda item: _text(item.extra.get(name))
    return pa.field(name, field.type), lambda item: item.extra.get(name)


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False)


def _fill(
    source: Source, columns: list[_Column], schema: pa.Schema, start: _Open, progress: Progress
) -> dict[str, str]:
    """Write every sample into the files that ``start(subset, number)`` opens; return the file of each."""
    files: dict[str, str] = {}
    size = source.subset.shard_size
    done: Counter[str] = Counter()
    opened: dict[str, tuple[str, Any]] = {}
    with ExitStack() as stack:
        stack.callback(lambda: [writer.close() for _, writer in opened.values()])
        for items in _grouped(source.items()):
            name = items[0].subset
            while items:
                number, within = divmod(done[name], size)
                if within == 0:
                    if name in opened:
                        opened[name][1].close()
                    opened[name] = start(name, number)
                path, writer = opened[name]
                part, items = items[: size - within], items[size - within :]
                writer.write_table(_table(part, columns, schema))
                files |= dict.fromkeys((item.sample_id for item in part), path)
                done[name] += len(part)
                progress(len(part))
    return files


def _table(items: list[Item], columns: list[_Column], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field, of in columns:
        try:
            arrays.append(pa.array([of(item) for item in items], field.type))
        except (pa.ArrowException, TypeError) as error:
            raise EspalierError(
                f"The column {field.name} is {field.type} in one file and not in another: {error}.",
                "Make them alike, or write another format.",
            ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _grouped(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Collect samples of one subset until they are a good row group; what waits of all subsets is bounded."""
    waiting: defaultdict[str, list[Item]] = defaultdict(list)
    held = 0
    for item in items:
        waiting[item.subset].append(item)
        held += len(item.data)
        if held >= _BYTES or len(waiting[item.subset]) >= _ROWS:
            yield from waiting.values()
            waiting.clear()
            held = 0
    yield from waiting.values()


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the names that Parquet gives to the leaves of nested columns."""
    empty = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), empty)
    described = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return [described.column(i).path for i in range(len(described))]


def _picture(item: Item) -> dict[str, Any] | None:
    if not item.uri:
        return None
    name = stem_of(item.sample_id).rsplit("/", 1)[-1]
    return {"bytes": item.data, "path": f"{name}.{extension_of(item.data)}"}


def _file_names(n_rows: int, size: int) -> list[str]:
    n_files = -(-n_rows // size)
    return [f"data-{number:05}-of-{n_files:05}.arrow" for number in range(n_files)]


def _features(columns: list[_Column], classes: list[str]) -> dict[str, Any]:
    """Describe the columns as ``datasets.Features`` does."""
    text, label = {"dtype": "string", "_type": "Value"}, {"names": classes, "_type": "ClassLabel"}
    boxes = {"feature": {"dtype": "float64", "_type": "Value"}, "_type": "Sequence"}
    known: dict[str, Any] = {
        "image": {"_type": "Image"},
        "objects": {
            "bbox": {"feature": boxes, "_type": "Sequence"},
            "category": {"feature": text, "_type": "Sequence"},
        },
    }
    features: dict[str, Any] = {}
    for field, _ in columns:
        several = {"feature": label, "_type": "Sequence"} if pa.types.is_list(field.type) else label
        value = {"dtype": _PLAIN[str(field.type)], "_type": "Value"} if str(field.type) in _PLAIN else text
        features[field.name] = several if field.name == "label" else known.get(field.name, value)
    return features


def _describe(folder: Path, split: str, names: list[str], n_rows: int, features: dict[str, Any]) -> None:
    """Write ``state.json`` and ``dataset_info.json`` of one split."""
    n_bytes = sum((folder / name).stat().st_size for name in names)
    digest = hashlib.blake2b(digest_size=8)
    for name in names:
        with (folder / name).open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": digest.hexdigest(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    about = {"name": split, "num_bytes": n_bytes, "num_examples": n_rows}
    info = dict.fromkeys(("citation", "description", "homepage", "license"), "")
    write_json(folder / "state.json", state)
    write_json(folder / "dataset_info.json", {**info, "features": features, "splits": {split: about}})
