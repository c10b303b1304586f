"""Reads WebDataset tars, sharded or not, by streaming their headers; a picture's place is kept, not its bytes.

A sample is a run of members that share a key, as the webdataset package forms them: the key is the member's
name up to the first dot after its last slash, the rest is the field (``.jpg``, ``.txt``, ``.json``,
``.cls``). ``.txt`` is the caption, ``.cls`` the class, ``.json`` may hold ``caption``, ``label`` (one or a list) and
``uid`` where those are missing, and boxes as ``objects``. A file ``classnames.txt`` or ``classes.txt`` beside the
shards names the classes of numbers.

A shard belongs to the subset that its folder or its name says (``train/00000.tar``,
``imagenet-val-0001.tar``). Members that climb out (``../``), absolute ones, links and devices become error
rows; a shard that is damaged becomes one under the shard's name, after the samples before the damage. What
does not belong here: the headers of a tar (``espalier.io.formats.read.tar_members``).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, BinaryIO

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import Entry, filesystem, is_pattern, is_url, local_path, walk
from espalier.io.formats.read.base import (
    IMAGE_EXTENSIONS,
    SUBSET_NAMES,
    Objects,
    Sample,
    batched,
    check_options,
    nothing_in,
    sorted_labels,
)
from espalier.io.formats.read.boxes import box_labels, boxes_of
from espalier.io.formats.read.tar_members import BadTar, Member, members
from espalier.io.landing.cards import Card

OPTIONS = {
    "image": "the field that holds the picture, for example jpg or left.png",
    "shard_in_key": "true puts the shard's path before each key, for shards that number their samples alike",
}
MAX_TEXT = 1 << 20
MAX_JSON = 16 << 20
_BUFFER = 1 << 18
_TOKEN = re.compile(r"[a-z]+")
CLASS_FILES = ("classnames.txt", "classes.txt")


@dataclass(slots=True)
class _Group:
    """The members of one key, as far as they were read."""

    key: str
    images: dict[str, Member] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    text: dict[str, str] = field(default_factory=dict)
    error: str | None = None


class WebDataset:
    """Streams the samples of a folder, a file or a pattern of tars.

    Parameters
    ----------
    card : Card
        ``uri`` is a folder of tars, a tar, or a pattern such as ``/data/{00000..00099}.tar``.
    """

    format = "webdataset"

    def __init__(self, card: Card) -> None:
        check_options(self.format, card.reader_options, OPTIONS)
        self.uri = card.uri
        self._image = str(card.reader_options.get("image", "")).lstrip(".").lower()
        self._shard_in_key = card.reader_options.get("shard_in_key", False)
        if not isinstance(self._shard_in_key, bool):
            raise UsageError(f"{card.name}: shard_in_key is {self._shard_in_key!r}.", "Write true or false.")
        self._names: list[str] | None = None
        self._labels: set[str] | None = None

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples, shard by shard."""
        return batched(self._samples(), size)

    def categories(self) -> list[str]:
        """Return the classes of the class file, or those that a full pass met, numbers in their order."""
        if self._class_names():
            return list(self._class_names())
        if self._labels is None:
            for _ in self._samples():
                pass
        return sorted_labels(self._labels or ())

    def _samples(self) -> Iterator[Sample]:
        labels: set[str] = set()
        empty = True
        for shard in walk(self.uri, stat=True):
            if shard.path.endswith(".tar"):
                for sample in self._shard(shard):
                    empty = False
                    labels.update(sample.labels)
                    yield sample
        if empty:
            raise nothing_in(self.uri, "tar with a sample")
        self._labels = labels

    def _shard(self, shard: Entry) -> Iterator[Sample]:
        subset = shard_subset(shard.path)
        if shard.error is not None:
            yield Sample(shard.path, subset, shard.uri, error=shard.error)
            return
        try:
            with open_shard(shard.uri) as file:
                for group in _groups(file, shard.n_bytes):
                    yield self._sample(group, shard, subset)
        except BadTar as error:
            yield Sample(shard.path, subset, shard.uri, error=f"the shard cannot be read on: {error}")
        except OSError as error:
            if is_url(shard.uri):
                raise EspalierError(f"{shard.uri} cannot be read: {error}.", "Try again when it answers.") from error
            reason = error.strerror or str(error)
            yield Sample(shard.path, subset, shard.uri, error=f"the shard cannot be read: {reason}")

    def _sample(self, group: _Group, shard: Entry, subset: str) -> Sample:
        key = f"{shard.path.removesuffix('.tar')}/{group.key}" if self._shard_in_key else group.key
        error, uri = group.error, ""
        if error is None:
            picked = self._picture(group)
            if isinstance(picked, str):
                error = picked
            else:
                uri = f"tar:{shard.uri}#{picked.offset}+{picked.size}"
                error = f"the picture is {picked.kind}" if picked.kind else None
        caption, label, uid, fault, objects = self._described(group)
        return Sample(printable(key), subset, uri, label, caption, uid, error or fault, objects)

    def _picture(self, group: _Group) -> Member | str:
        """Return the member that is the sample's picture, or why there is none."""
        if self._image:
            found = group.images.get(self._image)
            return found or f"no field .{self._image} in the sample"
        plain = [name for name in group.images if "." not in name]
        names = plain or list(group.images)
        if len(names) == 1:
            return group.images[names[0]]
        if not names:
            return "no picture in the sample"
        listed = ", ".join("." + name for name in names)
        return f"several pictures in the sample ({listed}); name one with the option image"

    def _described(self, group: _Group) -> tuple[str | None, tuple[str, ...], str | None, str | None, Objects | None]:
        """Return caption, labels, uid, what is wrong with the texts, and boxes."""
        about: Any = {}
        if "json" in group.text:
            try:
                about = json.loads(group.text["json"])
            except (ValueError, RecursionError):
                return group.text.get("txt"), (), None, "the .json is no JSON", None
        if not isinstance(about, dict):
            about = {}
        caption = group.text.get("txt", about.get("caption"))
        label = group.text.get("cls", about.get("label"))
        uid = about.get("uid")
        objects = boxes_of(about.get("objects"), self._class_names()) if "objects" in about else None
        return (
            caption if isinstance(caption, str) else None,
            self._label(label) or box_labels(objects, self._class_names()),
            uid if isinstance(uid, str) and uid else None,
            None,
            objects,
        )

    def _label(self, label: Any) -> tuple[str, ...]:
        if isinstance(label, list):
            return tuple(dict.fromkeys(name for one in label if not isinstance(one, list) for name in self._label(one)))
        if label is None or isinstance(label, dict) or str(label).strip() == "":
            return ()
        text, names = str(label).strip(), self._class_names()
        if names and text.isdigit() and int(text) < len(names):
            text = names[int(text)]
        return (text,)

    def _class_names(self) -> list[str]:
        if self._names is None:
            self._names = _read_class_names(self.uri)
        return self._names


def shard_subset(path: str) -> str:
    """Return the subset that a shard's first or last folder or its name says, '' when none does."""
    within = path.split("/")[:-1]
    for folder in within[:1] + within[-1:]:
        if folder.lower() in SUBSET_NAMES:
            return folder
    tokens = _TOKEN.findall(path.rsplit("/", 1)[-1].lower())
    return next((token for token in tokens if token in SUBSET_NAMES), "")


def printable(text: str) -> str:
    """Return ``text`` with bytes that are not UTF-8 escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def open_shard(uri: str) -> BinaryIO:
    """Open a tar that lies on a disk or in a store."""
    path = local_path(uri)
    if path is not None:
        return path.open("rb", buffering=_BUFFER)
    system, inside = filesystem(uri)
    opened: BinaryIO = system.open(inside, "rb")
    return opened


def _groups(file: BinaryIO, size: int) -> Iterator[_Group]:
    """Form samples of consecutive members with one key; a damaged end comes after the last whole group."""
    group: _Group | None = None
    try:
        for member in members(file, size):
            key, name = split_member(member.name)
            if key is None:
                continue
            if group is None or group.key != key:
                if group is not None:
                    yield group
                group = _Group(key)
            _add(group, name, member, file)
    except BadTar:
        if group is not None:
            yield group
        raise
    if group is not None:
        yield group


def split_member(name: str) -> tuple[str | None, str]:
    """Split a member's name into key and field, as the webdataset package does; (None, '') for one without a dot."""
    folder, slash, last = name.rpartition("/")
    stem, dot, rest = last.partition(".")
    if not dot or not stem or (last.startswith("__") and last.endswith("__")):
        # '../x.jpg' has a stem; a name such as 'a/..' or '.hidden' has none.
        return None, ""
    return folder + slash + stem, rest.lower()


def _add(group: _Group, name: str, member: Member, file: BinaryIO) -> None:
    if name in group.fields:
        group.error = group.error or f"two members .{name} under one key"
        return
    group.fields.add(name)
    if member.name.startswith("/") or ".." in member.name.split("/"):
        group.error = group.error or "the member's name climbs out of the archive"
        return
    if "." + name.rsplit(".", 1)[-1] in IMAGE_EXTENSIONS:
        group.images[name] = member
    elif name in ("txt", "cls", "json"):
        limit = MAX_JSON if name == "json" else MAX_TEXT
        if member.kind or member.size > limit:
            group.error = group.error or f"the .{name} is {member.kind or f'more than {limit >> 20} MiB'}"
            return
        file.seek(member.offset)
        try:
            group.text[name] = file.read(member.size).decode("utf-8")
        except UnicodeDecodeError:
            group.error = group.error or f"the .{name} is not UTF-8"


def _read_class_names(uri: str) -> list[str]:
    """Read the class file beside the shards of a folder; a link that leaves the folder is none."""
    path = local_path(uri)
    if is_pattern(uri) or (path is not None and not path.is_dir()):
        return []
    top = takewhile(lambda entry: "/" not in entry.path, walk(uri))
    found = {entry.path: entry.uri for entry in top if entry.path in CLASS_FILES and entry.error is None}
    for name in CLASS_FILES:
        if name in found:
            lines = read_bytes(found[name]).decode("utf-8").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []
