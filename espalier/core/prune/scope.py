"""The parameters that prune methods share; ``select`` gives them their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from espalier.core.errors import UsageError


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
        if self.min_per_class < 0:
            raise UsageError(
                f"min_per_class={self.min_per_class} is out of range.",
                "min_per_class must be at least 0. It counts samples.",
            )
        if self.min_clip_score is not None and not -1 <= self.min_clip_score <= 1:
            raise UsageError(f"min_clip_score={self.min_clip_score} is out of range.", "It is a cosine, from -1 to 1.")
