"""The ``eps`` that keeps a wanted share: a search over the stored pairs, without a new comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.semantic.resolve import resolve
from espalier.core.dedup.semantic.search import SimilarPairs
from espalier.core.errors import EspalierError, UsageError


@dataclass(frozen=True)
class Share:
    """An ``eps``, how many rows it keeps, and their share of all."""

    eps: float
    kept: int
    share: float


def eps_for_share(
    similar: SimilarPairs,
    position: np.ndarray,
    *,
    target_share: float,
    rule: str = "keep_one",
    immune: np.ndarray | None = None,
    drop: np.ndarray | None = None,
) -> Share:
    """Find the eps that keeps the share of all rows nearest to ``target_share``, in (0, 1].

    Of equally near ones the least eps. Under ``keep_one`` the number kept can rise by a few rows as eps grows, so
    the bisection's best is within those few rows of the very best. The other arguments are those of ``resolve``.

    Raises
    ------
    EspalierError
        When even the greatest eps that the stored pairs cover keeps more.
    """
    if not 0 < target_share <= 1:
        raise UsageError(f"The share {target_share} is out of range.", "It is the share to keep: above 0, up to 1.")
    n = similar.n
    target = target_share * n
    # Between two neighbouring similarities every eps decides alike: one candidate an interval.
    levels = np.unique(similar.pairs.similarity.astype(np.float64))[::-1]
    middle = (levels[:-1] + levels[1:]) / 2
    ends = [1 - (levels[-1] + similar.floor) / 2] if len(levels) else []
    candidates = np.concatenate([[0.0], 1 - middle, ends])
    tried: dict[int, int] = {}

    def kept(place: int) -> int:
        if place not in tried:
            verdict = resolve(similar, position, eps=float(candidates[place]), rule=rule, immune=immune, drop=drop)
            tried[place] = int(verdict.kept.sum())
        return tried[place]

    low, high = 0, len(candidates) - 1
    if kept(high) > target + 0.5:
        least = f"{kept(high) / n:.4g}"
        raise EspalierError(
            f"No eps up to {1 - similar.floor:.4g} keeps a share of {target_share:g}; that one keeps {least}.",
            "Search for similar pairs with a lower floor (a greater eps) first.",
        )
    while high - low > 1:
        centre = (low + high) // 2
        low, high = (centre, high) if kept(centre) > target else (low, centre)
    kept(low), kept(high)
    best = min(tried, key=lambda place: (abs(tried[place] - target), place))
    return Share(float(candidates[best]), tried[best], tried[best] / n if n else 0.0)
