"""Opens the right reader for a card: the named format, or the one that the files speak for.

What belongs here: the names of the formats, and the rules that tell them apart by names of files alone. What
does not: reading.
"""

import difflib
from collections.abc import Callable

from espalier.errors import UsageError
from resources.cards import Card
from resources.formats.base import Reader


def _image_folder(card: Card) -> Reader:
    from resources.formats.image_folder import ImageFolder

    return ImageFolder(card)


_READERS: dict[str, Callable[[Card], Reader]] = {"image_folder": _image_folder}
_ALIASES = {
    "image_dir": "image_folder",
    "imagenet": "image_folder",
    "imagenet_with_subset_dirs": "image_folder",
}


def known_formats() -> list[str]:
    """Return every name that ``format`` may have, sorted."""
    return sorted({*_READERS, *_ALIASES})


def check_format(name: str) -> str:
    """Return the reader's own name of a format.

    Raises
    ------
    UsageError
        For an unknown name, with the nearest known ones.
    """
    canonical = _ALIASES.get(name, name)
    if canonical not in _READERS:
        near = difflib.get_close_matches(name, known_formats(), 3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known_formats())}."
        raise UsageError(f"There is no format {name!r}.", hint)
    return canonical


def open_reader(card: Card) -> Reader:
    """Open the reader of a card, by its format or by what its files look like.

    Raises
    ------
    UsageError
        For an unknown format or option, or files that several formats claim (the candidates are listed).
    EspalierError
        When there is nothing to read.
    """
    return _READERS[check_format(card.format or "image_folder")](card)
