"""Checks of the methods' parameters: the message names the parameter, the value and the range."""

from __future__ import annotations

import math

from espalier.core.errors import UsageError


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, above: bool = False, what: str = ""
) -> None:
    """Refuse ``value`` outside [low, high], or outside (low, high] when ``above``; NaN and infinity too."""
    inside = (low < value if above else low <= value) and value <= high
    if inside and math.isfinite(value):
        return
    start = f"above {low:g}" if above else f"at least {low:g}"
    end = "" if math.isinf(high) else f" and at most {high:g}"
    raise UsageError(f"{name}={value} is out of range.", f"{name} must be {start}{end}. {what}".strip())
