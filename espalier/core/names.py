"""Names that reach a path, a partition key or SQL, texts of the form name=value, and what old names are called now."""

from __future__ import annotations

import re
from collections.abc import Iterable

from espalier.core.errors import UsageError

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?", re.ASCII)
MAX_LENGTH = 64
RENAMED_OPTIONS = {"against": "reference_datasets", "rank": "which_to_keep"}
"""Old words for options of the stages."""


def check_dataset_name(name: str) -> str:
    """Return ``name`` if it is a slug that is safe as a file name, a partition key and in SQL."""
    return check_slug(name, "dataset name")


def check_slug(name: str, what: str) -> str:
    """Return ``name`` if it is a slug: lower-case letters, digits, ``_`` and ``-`` (at most 64, not at the ends)."""
    if len(name) <= MAX_LENGTH and _SLUG.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} is not a {what}.",
        f"Use lower-case letters, digits, '-' and '_', at most {MAX_LENGTH}, for example {slugify(name)!r}.",
    )


def slugify(text: str) -> str:
    """Turn any text (a folder's name) into a valid dataset name."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", text.lower(), flags=re.ASCII).strip("-_")[:MAX_LENGTH].strip("-_")
    return slug or "dataset"


def named_values(pairs: Iterable[str], wrong: str, twice: str, example: str, *, empty: bool = False) -> dict[str, str]:
    """Read ``name=value`` texts; ``empty`` lets a value be empty.

    ``wrong`` and ``twice`` are said of a text that is no pair and of a name given again, ``{}`` being its place;
    ``example`` is for the remedy.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals or not (value or empty):
            raise UsageError(wrong.replace("{}", repr(pair), 1), f"Write for example {example}.")
        if name in values:
            raise UsageError(twice.replace("{}", name, 1), "Give it once.")
        values[name] = value
    return values
