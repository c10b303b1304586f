"""The text of a landing card: what may stand in it, and how it is read and written.

A card is a YAML mapping with the fields of :class:`Card`, its name apart. A relative ``uri`` is taken from the card's
folder and cannot leave it. Cards of old, which said ``chain`` and ``against``, are read as well.
"""

import difflib
import functools
import json
import logging
import os
import reprlib
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from espalier.core.errors import EspalierError, UsageError
from espalier.core.names import RENAMED_OPTIONS
from espalier.io.atomic import written
from espalier.io.files.listing import is_pattern, local_path
from espalier.io.formats.read.options import NAMES

_LOG = logging.getLogger(__name__)
_HEADER = "# A landing card of Espalier. uri: where the data lies; nothing of it was copied.\n"
_RENAMED = {"chain": "options", **RENAMED_OPTIONS}

Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
Ids = Annotated[Names, Field(description="a list of sample ids (quote those that look like numbers)")]
Text = Annotated[str, Field(pattern=r"\S")]


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Card:
    """One landed dataset; the description of a field is what its message says to write.

    ``uri`` is an absolute local path, a pattern or an fsspec URL. ``reader_options`` belong to the format's reader,
    ``options`` to the stages (``espalier.stages.options``). ``trust`` lets a format that is a pickle be loaded.
    """

    name: str
    uri: Annotated[Text, Field(description="a path or a URL, for example uri: /data/photos")]
    format: Annotated[Text | None, Field(description="the name of a format, for example format: webdataset")] = None
    reader_options: Annotated[
        dict[str, Any], Field(description="a mapping, for example reader_options: {subsets: [train, test]}")
    ] = field(default_factory=dict)
    trust: Annotated[bool, Field(description="trust: true or trust: false")] = False
    reference_datasets: Annotated[Names, Field(description="a list of dataset names")] = ()
    keep: Ids = ()
    drop: Ids = ()
    options: Annotated[
        dict[str, Any], Field(description="a mapping of stage options, for example options: {encoder: builtin, k: 50}")
    ] = field(default_factory=dict)

    @property
    def verdicts(self) -> dict[str, bool]:
        """Map each sample that a human decided on to whether it is kept."""
        return dict.fromkeys(self.keep, True) | dict.fromkeys(self.drop, False)

    def reading(self) -> str:
        """Return what of the card changes the samples that are read, as JSON (verdicts do not)."""
        return json.dumps([self.uri, self.format, self.reader_options, self.trust], default=str)


_WRITTEN = ("uri", "format", "reader_options", "trust", "options", "reference_datasets", "keep", "drop")


def read_card(file: Path, name: str, folder: Path | None) -> Card:
    """Read ``landing/<name>.yaml``.

    ``folder`` is ``landing/<name>/`` when there is one; then the card may not name another place. An error names the
    file, the field, what is wrong and what to do.
    """
    values = _mapping(file)
    for key in values:
        if key not in _WRITTEN and key not in _RENAMED:
            near = difflib.get_close_matches(str(key), _WRITTEN, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"A card has: {', '.join(_WRITTEN)}."
            raise EspalierError(f"{file}: unknown field {key!r}.", hint)
    values = _present(file, {key: value for key, value in values.items() if value is not None})
    if folder is None and "uri" not in values:
        raise EspalierError(f"{file}: uri is missing.", "Say where the data lies, for example uri: /data/photos.")
    try:
        card = Card(**{"uri": str(folder), **values, "name": name})
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        expected = TypeAdapter(Card).json_schema()["properties"][key]["description"]
        raise EspalierError(f"{file}: {key} is {reprlib.repr(values[key])}.", f"Write {expected}.") from None
    both = set(card.keep) & set(card.drop)
    if both:
        raise EspalierError(f"{file}: {min(both)!r} is in keep and in drop.", "Leave it in one of them.")
    return replace(card, uri=_uri(file, card.uri, folder))


def _present(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Return a card's values under their present names.

    Beside ``chain``, or with names of a reader's options in it, ``options`` are the reader's.
    """
    given = values.get("options")
    if "reader_options" not in values and isinstance(given, dict):
        readers = given if "chain" in values else given.keys() & NAMES
        if readers:
            values["reader_options"] = {key: value for key, value in given.items() if key in readers}
            values["options"] = {key: value for key, value in given.items() if key not in readers}
            _tell(str(file), "options", "reader_options")
    if not values.get("options"):
        values.pop("options", None)
    return in_new_words(values, str(file), _RENAMED)


def in_new_words(given: Mapping[str, Any], where: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return ``given`` with the present names in the place of old ones; a line says the new word, once."""
    for old in sorted(renamed.keys() & given):
        if renamed[old] in given:
            raise UsageError(f"{where}: {old} is the old word for {renamed[old]}.", "Leave one of them.")
        _tell(where, old, renamed[old])
    return {renamed.get(name, name): value for name, value in given.items()}


@functools.cache
def _tell(where: str, old: str, new: str) -> None:
    _LOG.warning(f"{where}: {old} is now called {new}.")


def write_card(file: Path, card: Card, *, is_folder: bool) -> None:
    """Write a card whole or not at all, defaults left out; the card of a folder in the landing zone names no place."""
    values = {key: getattr(card, key) for key in _WRITTEN[is_folder:]}
    text = yaml.safe_dump({key: value for key, value in values.items() if value}, sort_keys=False, allow_unicode=True)
    try:
        with written(file) as fresh:
            fresh.write_text(_HEADER + text, encoding="utf-8")
    except OSError as error:
        raise EspalierError(
            f"The card {file} cannot be written: {error}.", "Check its folder's rights and space."
        ) from error


class _Loader(yaml.SafeLoader):
    """A safe loader without references: a few of them could stand for more text than there is memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "references are not allowed", event.start_mark)
        return super().compose_node(parent, index)


def _mapping(file: Path) -> dict[Any, Any]:
    try:
        values = yaml.load(file.read_bytes(), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        what = "has a reference (*)" if isinstance(error, yaml.composer.ComposerError) else "is not YAML"
        raise EspalierError(f"{file} {what}{where}.", "Write lines such as uri: /data/photos.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EspalierError(f"{file} cannot be read: {error}.", "Check its rights and its encoding (UTF-8).") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise EspalierError(
            f"{file} holds a {type(values).__name__}, not a mapping.",
            "Write lines such as uri: /data/photos.",
        )
    return values


def _uri(file: Path, uri: str, folder: Path | None) -> str:
    if folder is not None:
        if uri.rstrip("/") != str(folder):
            raise EspalierError(
                f"{file}: uri names {uri}, but the folder {folder} has the same name.",
                "Rename one of them; a card beside a folder only adds format and options.",
            )
        return str(folder)
    local = local_path(uri)
    if local is None:
        return uri.rstrip("/")
    if not local.is_absolute():
        inside = Path(os.path.normpath(file.parent / local))
        if not inside.is_relative_to(file.parent):
            raise EspalierError(f"{file}: uri {uri} leaves the landing zone.", "Write the absolute path.")
        local = inside
    if not is_pattern(str(local)) and not local.exists():
        raise EspalierError(f"{file}: uri names {local}, and there is nothing.", "Mend the path, or forget the card.")
    return os.path.normpath(local)
