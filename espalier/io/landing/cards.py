"""The text of a landing card: what may stand in it, and how it is read and written.

A card is a YAML mapping: ``uri`` (where the data lies), ``format``, ``options`` (the format's own), ``chain``
(options of the stages), ``trust`` (the data may be a pickle), ``against`` (datasets it is compared with),
``keep`` and ``drop`` (human verdicts, sample ids). A relative ``uri`` is taken from the card's folder and
cannot leave it.
"""

import difflib
import json
import os
import reprlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from espalier.core.errors import EspalierError
from espalier.io.files.listing import is_pattern, local_path

_HEADER = "# A landing card of Espalier. uri: where the data lies; nothing of it was copied.\n"


@dataclass(frozen=True)
class Card:
    """One landed dataset.

    Parameters
    ----------
    name : str
        A slug.
    uri : str
        Absolute local path or fsspec URL of the data.
    format : str or None
        Named by the user, or None to find out.
    options : dict
        The format's own options.
    trust : bool
        Whether a format that is a pickle may be loaded.
    against : tuple[str, ...]
        Datasets that are searched for copies of its samples.
    keep, drop : tuple[str, ...]
        Sample ids that a human decided on, sorted.
    chain : dict
        Options of the stages (``espalier.stages.options``), such as the encoder or the number of clusters.
    """

    name: str
    uri: str
    format: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    trust: bool = False
    against: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    chain: dict[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> dict[str, bool]:
        """Map each sample that a human decided on to whether it is kept."""
        return dict.fromkeys(self.keep, True) | dict.fromkeys(self.drop, False)

    def reading(self) -> str:
        """Return what of the card changes the samples that are read, as JSON (verdicts do not)."""
        return json.dumps([self.uri, self.format, self.options, self.trust], default=str)


def read_card(file: Path, name: str, folder: Path | None) -> Card:
    """Read ``landing/<name>.yaml``.

    Parameters
    ----------
    file : pathlib.Path
        The card.
    name : str
        Its dataset.
    folder : pathlib.Path or None
        ``landing/<name>/`` when there is one; then the card may not name another place.

    Raises
    ------
    EspalierError
        Naming the file, the field, what is wrong and what to do.
    """
    values = _mapping(file)
    for key, value in values.items():
        if key not in _FIELDS:
            near = difflib.get_close_matches(str(key), _FIELDS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"A card has: {', '.join(_FIELDS)}."
            raise EspalierError(f"{file}: unknown field {key!r}.", hint)
        is_right, expected = _FIELDS[key]
        if not is_right(value):
            raise EspalierError(f"{file}: {key} is {reprlib.repr(value)}.", f"Write {expected}.")
    both = set(values.get("keep") or ()) & set(values.get("drop") or ())
    if both:
        raise EspalierError(f"{file}: {min(both)!r} is in keep and in drop.", "Leave it in one of them.")
    return Card(
        name,
        _uri(file, values.get("uri"), folder),
        values.get("format"),
        dict(values.get("options") or {}),
        bool(values.get("trust")),
        tuple(values.get("against") or ()),
        tuple(values.get("keep") or ()),
        tuple(values.get("drop") or ()),
        chain=dict(values.get("chain") or {}),
    )


def write_card(file: Path, card: Card, *, is_folder: bool) -> None:
    """Write a card so that a reader sees the old one or the new one, never a part.

    Parameters
    ----------
    file : pathlib.Path
        ``landing/<name>.yaml``.
    card : Card
        What to write; defaults are left out.
    is_folder : bool
        The data is ``landing/<name>/``, so the card names no place.

    Raises
    ------
    EspalierError
        When the card cannot be written.
    """
    values: dict[str, Any] = {} if is_folder else {"uri": card.uri}
    values |= {"format": card.format, "options": card.options, "trust": card.trust, "chain": card.chain}
    values |= {key: list(getattr(card, key)) for key in ("against", "keep", "drop")}
    text = yaml.safe_dump({key: value for key, value in values.items() if value}, sort_keys=False, allow_unicode=True)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            temporary = Path(out.name)
            out.write(_HEADER + text)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except (OSError, yaml.YAMLError) as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
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


def _uri(file: Path, uri: str | None, folder: Path | None) -> str:
    if folder is not None:
        if uri is not None and uri.rstrip("/") != str(folder):
            raise EspalierError(
                f"{file}: uri names {uri}, but the folder {folder} has the same name.",
                "Rename one of them; a card beside a folder only adds format and options.",
            )
        return str(folder)
    if uri is None:
        raise EspalierError(f"{file}: uri is missing.", "Say where the data lies, for example uri: /data/photos.")
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


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_options(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(key, str) for key in value))


_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "uri": (_is_text, "a path or a URL, for example uri: /data/photos"),
    "format": (
        lambda value: value is None or _is_text(value),
        "the name of a format, for example format: webdataset",
    ),
    "options": (_is_options, "a mapping, for example options: {subsets: [train, test]}"),
    "trust": (lambda value: isinstance(value, bool), "trust: true or trust: false"),
    "chain": (_is_options, "a mapping of stage options, for example chain: {encoder: builtin, k: 50}"),
    "against": (_is_names, "a list of dataset names"),
    "keep": (_is_names, "a list of sample ids (quote those that look like numbers)"),
    "drop": (_is_names, "a list of sample ids (quote those that look like numbers)"),
}
