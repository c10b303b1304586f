"""From similar pairs to verdicts: the order in which samples are looked at, who stays, and whose duplicate it is.

Also the ``eps`` that keeps a wanted share, sought among the stored pairs without a new comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.pairs import best_partner, keep_greedily
from espalier.core.dedup.semantic.search import SimilarPairs
from espalier.core.errors import EspalierError, UsageError

RULES = ("keep_one", "paper")
ORDERS = ("hard", "easy", "random")


@dataclass(frozen=True)
class SemanticDuplicates:
    """The fate of every row.

    Attributes
    ----------
    kept : ndarray of shape (n,), bool
    duplicate_of : ndarray of shape (n,), int64
        A kept row; -1 for kept rows and rows dropped by hand. Under ``keep_one`` the most similar kept row that ranks
        earlier. Under ``paper`` the end of the chain that begins with ``via``.
    similarity : ndarray of shape (n,), float32
        Cosine to ``via``: the number that decided. 0 for kept rows and rows dropped by hand.
    via : ndarray of shape (n,), int64
        The earlier row that made this one go: ``duplicate_of`` itself under ``keep_one``, the most similar
        earlier row, perhaps dropped too, under ``paper``; else -1.
    """

    kept: np.ndarray
    duplicate_of: np.ndarray
    similarity: np.ndarray
    via: np.ndarray


def resolve(
    similar: SimilarPairs,
    position: np.ndarray,
    *,
    eps: float,
    rule: str = "keep_one",
    immune: np.ndarray | None = None,
    drop: np.ndarray | None = None,
) -> SemanticDuplicates:
    """Decide with the similar pairs at hand.

    Parameters
    ----------
    similar : SimilarPairs
    position : ndarray of shape (n,), int64
        From :func:`espalier.core.dedup.semantic.rank_positions`.
    eps : float
        Rows with a cosine above ``1 - eps`` are duplicates. Greater drops more.
    rule : {"keep_one", "paper"}
        ``keep_one``: a row goes when an earlier *kept* row is similar, so each dropped row has a kept neighbour.
        ``paper``: when any earlier row is similar, kept or not.
    immune : ndarray of shape (n,), bool, optional
        Rows that stay (protected subsets, kept by hand). They rank before all others.
    drop : ndarray of shape (n,), bool, optional
        Rows dropped by hand. They drop no other row.

    Raises
    ------
    UsageError
        For an unknown rule, an eps outside [0, 2), or one that needs pairs below the stored floor.
    """
    low = np.float32(lowest_similarity(similar, eps))
    if rule not in RULES:
        raise UsageError(f"There is no rule {rule!r}.", f"Use one of {', '.join(RULES)}.")
    n = similar.n
    stays, barred, rank = ranks_of(n, position, immune, drop)
    pairs = similar.pairs
    pairs = pairs.take((pairs.similarity > low) & ~barred[pairs.i] & ~barred[pairs.j])
    forward = rank[pairs.i] < rank[pairs.j]
    earlier, later = np.where(forward, pairs.i, pairs.j), np.where(forward, pairs.j, pairs.i)
    can_fall = ~stays[later]
    earlier, later, similarity = earlier[can_fall], later[can_fall], pairs.similarity[can_fall]
    if rule == "keep_one":
        kept = keep_greedily(n, earlier, later)
        by_kept = kept[earlier] & ~kept[later]
        via, cosine = best_partner(n, later[by_kept], earlier[by_kept], similarity[by_kept], rank)
        target = via
    else:
        via, cosine = best_partner(n, later, earlier, similarity, rank)
        kept = via < 0
        target = _ends(via)
    return SemanticDuplicates(kept & ~barred, np.where(kept, -1, target), cosine, via)


def ranks_of(
    n: int, position: np.ndarray, immune: np.ndarray | None, drop: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that stay, rows dropped by hand (which win over the former), and ranks with the first ones in front."""
    barred = np.zeros(n, dtype=bool) if drop is None else np.asarray(drop, dtype=bool)
    stays = np.zeros(n, dtype=bool) if immune is None else np.asarray(immune, dtype=bool) & ~barred
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((position, ~stays))] = np.arange(n)
    return stays, barred, rank


def lowest_similarity(similar: SimilarPairs, eps: float) -> float:
    """Cosine above which rows are duplicates at ``eps``; refuses what the stored pairs do not cover."""
    if not 0 <= eps < 2:
        raise UsageError(f"eps {eps} is out of range.", "It is a cosine distance: 0 up to 2, for example 0.05.")
    low = 1.0 - eps
    if low < similar.floor - 1e-9:
        raise UsageError(
            f"eps {eps} needs pairs down to a cosine of {low:.4g}, but they are stored from {similar.floor:.4g} up.",
            f"Use an eps of at most {1 - similar.floor:.4g}, or search again with a lower floor.",
        )
    return low


def _ends(via: np.ndarray) -> np.ndarray:
    """Follow ``via`` until a row that has none."""
    end = np.where(via < 0, np.arange(len(via)), via)
    while True:
        further = end[end]
        if np.array_equal(further, end):
            return end
        end = further


def rank_positions(distance: np.ndarray, which_to_keep: str = "hard", *, rng: np.random.Generator) -> np.ndarray:
    """Rank all rows, 0 first; inside each cluster and across clusters the same order holds: (n,) int64.

    By ``distance``, (n,) float32, the cosine distance of each row to its own centroid: ``hard``, far first (the paper's
    choice), or ``easy``, near first. Distances equal to six digits tie and end on the row. Only ``random`` uses
    ``rng``.
    """
    n = len(distance)
    if which_to_keep == "random":
        order = rng.permutation(n)
    elif which_to_keep in ORDERS:
        rounded = np.round(np.asarray(distance, dtype=np.float64), 6)
        order = np.argsort(-rounded if which_to_keep == "hard" else rounded, kind="stable")
    else:
        raise UsageError(f"which_to_keep={which_to_keep!r} is no order.", f"Use one of {', '.join(ORDERS)}.")
    position = np.empty(n, dtype=np.int64)
    position[order] = np.arange(n)
    return position


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
