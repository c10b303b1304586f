"""The parameters that prune methods share (``select`` gives them their meaning), and the check of any one's range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class Scope:
    """The parameters that methods share; each method says in ``accepts`` which of them it takes.

    With ``subsets`` only these are pruned and the rest is kept whole. Of each label at least ``min_per_class`` samples
    stay (all of a label that has fewer). Only samples whose picture and text have a cosine of ``min_clip_score`` or
    more reach pruning; the rest is dropped before the target is counted. ``space``: the embeddings or the unpacked hash
    bits.
    """

    seed: int = 0
    subsets: tuple[str, ...] = ()
    min_per_class: int = 0
    min_clip_score: float | None = None
    space: Literal["embedding", "hash"] = "embedding"

    def __post_init__(self) -> None:
        check_range("min_per_class", self.min_per_class, 0, what="It counts samples.")
        if self.min_clip_score is not None and not -1 <= self.min_clip_score <= 1:
            raise UsageError(f"min_clip_score={self.min_clip_score} is out of range.", "It is a cosine, from -1 to 1.")
