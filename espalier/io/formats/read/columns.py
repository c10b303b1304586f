"""Which column of a table means what, and how a row becomes a sample.

Here are the usual names of columns in img2dataset, Hugging Face, LAION and DataComp tables and in lists that people
write by hand, and the rule that a path in a table cannot leave the folder of the dataset.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.listing import is_url, lies_in
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.boxes import box_labels, boxes_of
from espalier.io.formats.read.options import USUAL

_DONE = ("success", "ok", "")


@dataclass(frozen=True)
class Columns:
    """The column of each role, '' where there is none (``image`` holds bytes), and how its values are understood.

    Relative paths start from ``root``, which no path may leave. ``separator`` splits one text into several labels; ''
    leaves it whole. ``names`` and ``box_names`` are the classes of a column of numbers, and of the numbers in
    ``objects``.
    """

    image: str = ""
    path: str = ""
    key: str = ""
    caption: str = ""
    label: str = ""
    uid: str = ""
    status: str = ""
    message: str = ""
    subset: str = ""
    objects: str = ""
    root: str = ""
    separator: str = ""
    names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the table holds texts and no pictures."""
        return not self.image and not self.path and bool(self.caption)

    def wanted(self) -> list[str]:
        """Return the columns that a row is made of, without the bytes."""
        names = (getattr(self, role) for role in USUAL if role != "image")
        return list(dict.fromkeys(name for name in names if name))

    def unused(self, names: Iterable[str]) -> list[str]:
        """Return those of a table's columns that nothing of a sample is made of."""
        used = {self.image.split(".")[0], *self.wanted()} - ({self.path} if self.image else set())
        return [name for name in names if name not in used]

    def sample(self, row: Mapping[str, Any], key: str, subset: str, image_uri: str) -> Sample:
        """Make a sample of a row (the values of :meth:`wanted`); ``key`` and ``subset`` stand in where it says none.

        ``image_uri`` is where its bytes are, '' when the table holds none.
        """
        path = _text(row.get(self.path))
        given = _text(row.get(self.key)) or (path if self.path and not self.image else "") or key
        uri, error = image_uri, None
        if not self.image and self.path:
            uri, error = contained(self.root, path) if path else ("", "the row names no picture")
        status = _text(row.get(self.status)).lower()
        if status not in _DONE:
            reason = _text(row.get(self.message))
            uri, error = "", f"{status}: {reason}" if reason else status
        caption = self._caption(row.get(self.caption))
        if self.is_text and not caption:
            error = error or "the row holds no text"
        uid = _text(row.get(self.uid)) or None
        said = _text(row.get(self.subset))
        objects = boxes_of(row.get(self.objects), self.box_names)
        labels = self._labels(row.get(self.label)) or box_labels(objects, self.box_names)
        return Sample(given, said or subset, uri, labels, caption, uid, error, objects)

    def _caption(self, value: Any) -> str | None:
        if isinstance(value, list):
            return "\n".join(item for item in map(_text, value) if item) or None
        return None if value is None else str(value)

    def _labels(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) and value.startswith("["):
            try:
                value = json.loads(value)
            except ValueError:
                pass  # a label that begins with a bracket is a label
        if isinstance(value, str) and self.separator:
            value = value.split(self.separator)
        labels = map(self._label, value if isinstance(value, list) else [value])
        return tuple(dict.fromkeys(label for label in labels if label))

    def _label(self, value: Any) -> str:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.names):
            return self.names[value]
        return _text(value).strip()


def choose(schema: pa.Schema, options: Mapping[str, Any], uri: str) -> Columns:
    """Find the column of each role, by the card's options (``COLUMN_OPTIONS``) and by the usual names.

    The schema's metadata may name the classes of columns of numbers. Paths are relative to the folder of the table,
    ``uri``, unless the options say otherwise.
    """
    names, classes = _column_kinds(schema), _class_names(schema)
    chosen = {role: _column(role, names, options, uri) for role in USUAL}
    if chosen["path"] == chosen["image"]:
        chosen["path"] = ""
    columns = Columns(
        **chosen,
        root=_root(options.get("root"), uri.rsplit("/", 1)[0]),
        separator=str(options.get("label_separator", "")),
        names=tuple(classes.get(chosen["label"], ())),
        box_names=tuple(classes.get(chosen["objects"], ())),
    )
    if not (columns.image or columns.path or columns.caption):
        raise EspalierError(
            f"{uri} has no column of pictures, paths or texts (its columns: {', '.join(names) or 'none'}).",
            "Name one in the card, for example options: {path: COLUMN}.",
        )
    return columns


def _column_kinds(schema: pa.Schema) -> dict[str, bool]:
    """Map each column to whether it holds bytes; a struct of bytes and path counts as its bytes."""
    kinds = {}
    for field in schema:
        parts = {part.name: part.type for part in field.type} if pa.types.is_struct(field.type) else None
        if parts is None:
            kinds[field.name] = _is_bytes(field.type)
        elif "bytes" in parts and _is_bytes(parts["bytes"]):
            kinds[field.name] = True
        elif "bbox" in parts:
            kinds[field.name] = False
    return kinds


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class names that Hugging Face wrote into a table's metadata, by column."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    names = {column: _names_in(feature) for column, feature in features.items()}
    return {column: classes for column, classes in names.items() if classes is not None}


def _names_in(feature: Any) -> list[str] | None:
    """Return the class names of a feature, of what its list holds, or of the category of its boxes."""
    if not isinstance(feature, dict):
        return None
    if isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    inner = feature.get("feature")
    return _names_in(inner if inner is not None else feature.get("category", feature.get("label")))


def _column(role: str, names: Mapping[str, bool], options: Mapping[str, Any], where: str) -> str:
    asked = options.get(role)
    if asked is not None:
        if asked not in names:
            raise UsageError(f"{where} has no column {asked!r}.", f"Its columns: {', '.join(names)}.")
        return str(asked)
    by_name = {name.lower(): name for name in reversed(list(names))}
    for usual in USUAL[role]:
        if usual in by_name and (role not in ("image", "path") or names[by_name[usual]] == (role == "image")):
            return by_name[usual]
    return ""


def _root(asked: Any, own: str) -> str:
    if asked is None:
        return own
    if not is_url(str(asked)) and not os.path.isabs(str(asked)):  # noqa: PTH117
        raise UsageError(f"The option root is {asked!r}.", "Write an absolute path or a URL.")
    return str(asked).rstrip("/")


def contained(root: str, path: str) -> tuple[str, str | None]:
    """Return the uri of ``path`` below ``root``, and why it must not be read when it leaves it (None when it may)."""
    outside = "the path leaves the folder of the dataset; the option root names another"
    if is_url(path) or is_url(root):
        uri = path if is_url(path) else f"{root}/{path}"
        inside = uri.startswith(root.rstrip("/") + "/") and ".." not in PurePosixPath(uri).parts
        return (uri, None) if inside else ("", outside)
    if "\0" in path:
        return "", "the path holds a zero byte"
    uri = os.path.normpath(os.path.join(root, path))  # noqa: PTH118
    return (uri, None) if lies_in(uri, os.path.realpath(root)) else ("", outside)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return value if isinstance(value, str) else str(value)
