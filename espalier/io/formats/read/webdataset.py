"""Reads WebDataset tars, sharded or not, by streaming their headers; a picture's place is kept, not its bytes.

A sample is a run of members that share a key, as the webdataset package forms them: the key is the member's name up to
the first dot after its last slash, the rest is the field (``.jpg``, ``.txt``, ``.json``, ``.cls``). ``.txt`` is the
caption, ``.cls`` the class, ``.json`` may hold ``caption``, ``label`` (one or a list) and ``uid`` where those are
missing, and boxes as ``objects``. A file ``classnames.txt`` or ``classes.txt`` beside the shards names the classes of
numbers.

A shard belongs to the subset that its folder or its name says (``train/00000.tar``, ``imagenet-val-0001.tar``). Members
that climb out (``../``), absolute ones, links and devices become error rows; a shard that is damaged becomes one under
the shard's name, after the samples before the damage.
"""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain, takewhile
from typing import Any, BinaryIO

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import read_bytes
from espalier.io.files.listing import Entry, is_pattern, is_url, local_path, open_binary, walk
from espalier.io.formats.read.base import IMAGE_EXTENSIONS, SUBSET_NAMES, Reader, Sample
from espalier.io.formats.read.boxes import box_labels, boxes_of
from espalier.io.formats.read.options import TAR_OPTIONS
from espalier.io.formats.read.tar_members import BadTar, Member, members
from espalier.io.landing.cards import Card

CLASS_FILES = ("classnames.txt", "classes.txt")
_LIMITS = {"txt": 1 << 20, "cls": 1 << 20, "json": 16 << 20}
_TOKEN = re.compile(r"[a-z]+")
Group = list[tuple[str, Member]]
"""The members of one sample, each after its field."""


class WebDataset(Reader):
    """Streams the samples of a folder of tars, a tar, or a pattern such as ``/data/{00000..00099}.tar``."""

    format = "webdataset"
    holds = "tar with a sample"
    known_options = TAR_OPTIONS
    has_boxes = True

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self._image = str(card.reader_options.get("image", "")).lstrip(".").lower()
        self._shard_in_key = card.reader_options.get("shard_in_key", False)
        if not isinstance(self._shard_in_key, bool):
            raise UsageError(f"{card.name}: shard_in_key is {self._shard_in_key!r}.", "Write true or false.")

    def categories(self) -> list[str]:
        """Return the classes of the class file, or those that a full pass met, numbers in their order."""
        return list(self._class_names) or super().categories()

    def samples(self) -> Iterator[Sample]:
        """Yield the samples, shard by shard."""
        for shard in walk(self.uri, stat=True):
            if shard.path.endswith(".tar"):
                yield from self._shard(shard)

    def _shard(self, shard: Entry) -> Iterator[Sample]:
        subset, error = shard_subset(shard.path), shard.error
        try:
            if error is None:
                with open_binary(shard.uri) as file:
                    for key, group in grouped(file, shard.n_bytes):
                        yield self._sample(file, key, group, shard, subset)
        except BadTar as damage:
            error = f"the shard cannot be read on: {damage}"
        except OSError as problem:
            if is_url(shard.uri):
                raise EspalierError(
                    f"{shard.uri} cannot be read: {problem}.", "Try again when it answers."
                ) from problem
            error = f"the shard cannot be read: {problem.strerror or problem}"
        if error is not None:
            yield Sample(shard.path, subset, shard.uri, error=error)

    def _sample(self, file: BinaryIO, key: str, group: Group, shard: Entry, subset: str) -> Sample:
        pictures, texts, error = _contents(file, group)
        uri, picture = "", None if error else self._picture(pictures)
        if isinstance(picture, Member):
            uri = f"tar:{shard.uri}#{picture.offset}+{picture.size}"
            error = f"the picture is {picture.kind}" if picture.kind else None
        else:
            error = error or picture
        about: Any = {}
        try:
            about = json.loads(texts["json"]) if "json" in texts else {}
        except (ValueError, RecursionError):
            error = error or "the .json is no JSON"
            texts.pop("cls", None)
        if not isinstance(about, dict):
            about = {}
        caption, uid, names = texts.get("txt", about.get("caption")), about.get("uid"), self._class_names
        objects = boxes_of(about.get("objects"), names)
        return Sample(
            printable(f"{shard.path.removesuffix('.tar')}/{key}" if self._shard_in_key else key),
            subset,
            uri,
            self._labels_of(texts.get("cls", about.get("label"))) or box_labels(objects, names),
            caption if isinstance(caption, str) else None,
            uid if isinstance(uid, str) and uid else None,
            error,
            objects,
        )

    def _picture(self, pictures: dict[str, Member]) -> Member | str:
        """Return the member that is the sample's picture, or why there is none."""
        if self._image:
            return pictures.get(self._image) or f"no field .{self._image} in the sample"
        names = [name for name in pictures if "." not in name] or list(pictures)
        if len(names) == 1:
            return pictures[names[0]]
        if not names:
            return "no picture in the sample"
        listed = ", ".join("." + name for name in names)
        return f"several pictures in the sample ({listed}); name one with the option image"

    def _labels_of(self, label: Any) -> tuple[str, ...]:
        if isinstance(label, list):
            labels = (self._labels_of(one) for one in label if not isinstance(one, list))
            return tuple(dict.fromkeys(chain.from_iterable(labels)))
        text, names = str(label).strip(), self._class_names
        if label is None or isinstance(label, dict) or not text:
            return ()
        return (names[int(text)] if text.isdigit() and int(text) < len(names) else text,)

    @cached_property
    def _class_names(self) -> list[str]:
        """The lines of the class file beside the shards of a folder; a link that leaves the folder is none."""
        path = local_path(self.uri)
        if is_pattern(self.uri) or (path is not None and not path.is_dir()):
            return []
        top = takewhile(lambda entry: "/" not in entry.path, walk(self.uri))
        uris = {entry.path: entry.uri for entry in top if entry.path in CLASS_FILES and entry.error is None}
        uri = next((uris[name] for name in CLASS_FILES if name in uris), None)
        lines = read_bytes(uri).decode("utf-8").splitlines() if uri else []
        return [line.strip() for line in lines if line.strip()]


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


def grouped(file: BinaryIO, size: int) -> Iterator[tuple[str, Group]]:
    """Yield the samples: consecutive members with one key, after it; a damaged end comes after the last whole one."""
    last, group = "", []  # type: str, Group
    try:
        for member in members(file, size):
            key, name = split_member(member.name)
            if key is None:
                continue
            if key != last:
                if group:
                    yield last, group
                last, group = key, []
            group.append((name, member))
    except BadTar:
        if group:
            yield last, group
        raise
    if group:
        yield last, group


def split_member(name: str) -> tuple[str | None, str]:
    """Split a member's name into key and field, as the webdataset package does; (None, '') for one without a dot."""
    folder, slash, last = name.rpartition("/")
    stem, dot, rest = last.partition(".")
    if not dot or not stem or (last.startswith("__") and last.endswith("__")):
        # '../x.jpg' has a stem; a name such as 'a/..' or '.hidden' has none.
        return None, ""
    return folder + slash + stem, rest.lower()


def _contents(file: BinaryIO, group: Group) -> tuple[dict[str, Member], dict[str, str], str | None]:
    """Return a sample's pictures and its texts by field, and the first thing that is wrong with them."""
    pictures: dict[str, Member] = {}
    texts: dict[str, str] = {}
    faults: list[str] = []
    fields: set[str] = set()
    for name, member in group:
        if name in fields:
            faults.append(f"two members .{name} under one key")
        elif member.name.startswith("/") or ".." in member.name.split("/"):
            faults.append("the member's name climbs out of the archive")
        elif "." + name.rsplit(".", 1)[-1] in IMAGE_EXTENSIONS:
            pictures[name] = member
        elif name in _LIMITS and (member.kind or member.size > _LIMITS[name]):
            faults.append(f"the .{name} is {member.kind or f'more than {_LIMITS[name] >> 20} MiB'}")
        elif name in _LIMITS:
            file.seek(member.offset)
            try:
                texts[name] = file.read(member.size).decode("utf-8")
            except UnicodeDecodeError:
                faults.append(f"the .{name} is not UTF-8")
        fields.add(name)
    return pictures, texts, next(iter(faults), None)
