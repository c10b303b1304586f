"""Reads boxes from a cell of a table, a row of a list or the ``.json`` of a tar, as Hugging Face and our exports do."""

import json
import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from espalier.io.formats.read.base import Objects

_CATEGORY = ("category", "categories", "label", "labels")


def boxes_of(value: Any, names: Sequence[str] = ()) -> Objects | None:
    """Return the boxes that a cell or a ``.json`` holds, or None; ``names`` are the classes of numbers.

    Known are a dict of lists and a list of dicts, each with ``bbox`` (four numbers) and ``category``, ``label`` or the
    plural of one; a text is read as JSON.
    """
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list):
        value = {name: [one.get(name) for one in value if isinstance(one, dict)] for name in ("bbox", *_CATEGORY)}
    if not isinstance(value, dict) or not isinstance(value.get("bbox"), list):
        return None
    said = (value[name] for name in _CATEGORY if isinstance(value.get(name), list))
    categories: list[Any] = next((names for names in said if any(name is not None for name in names)), [])
    objects: Objects = {"bbox": [], "category": []}
    for box, category in zip_longest(value["bbox"], categories[: len(value["bbox"])]):
        numbers = _four_numbers(box)
        if numbers:
            is_number = isinstance(category, int) and 0 <= category < len(names)
            objects["bbox"].append(numbers)
            objects["category"].append(names[category] if is_number else _name(category))
    return objects if objects["bbox"] else None


def _four_numbers(box: Any) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(number, int | float) for number in box):
        return []
    try:
        numbers = [float(number) for number in box]
    except OverflowError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def box_labels(objects: Objects | None, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the distinct classes of boxes, in the order of ``names`` where these are known."""
    classes = dict.fromkeys(name for name in (objects["category"] if objects else ()) if name)
    return tuple(sorted(classes, key=names.index) if set(classes) <= set(names) else classes)


def _name(category: Any) -> str:
    return "" if category is None else str(category)
