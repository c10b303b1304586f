"""Quotas: integers within bounds that sum exactly to the target, by weights or nearest to a wish.

Both kinds are a clipped line in one unknown, ``x(t) = clip(base + t * slope, lower, upper)``, whose sum grows with
``t``: the root lies between two breakpoints, and the fractions are settled by largest remainder, exactly
(``espalier.core.rounding``). `projected` is the Euclidean projection that Density-Based Pruning (arXiv 2401.04578)
solves with a quadratic program; its released code rounds afterwards and misses the sum.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from espalier.core.errors import EspalierError
from espalier.core.rounding import Line, round_shares

NOTHING = 1e-200  # a weight so far below the largest counts as 0, or its reciprocal overflows
HUGE = 1e50  # when the greatest weight is beyond this or its reciprocal, all are scaled by a power of two
SNAP = 1e-9  # a floor this near below a whole number is that number: 2.9999999996 came from rounding


def largest_remainder(
    weights: ArrayLike, target: int, lower: ArrayLike = 0, upper: ArrayLike | None = None
) -> np.ndarray:
    """Share ``target`` out in proportion to ``weights``, within whole bounds (by default 0 and the target): (k,) int64.

    Shares are ``clip(t * weights, lower, upper)`` for the ``t`` at which they sum to the target; whole parts
    first, then one more to the largest remainders, to the lower index where remainders are equal. Equal is
    meant exactly, of the weights as they are: 0.3 is the float64 of that name. A weight of 0 gets its lower
    bound; only when all others are full is the rest spread evenly over the weights of 0.

    Raises
    ------
    EspalierError
        When no integers within the bounds sum to the target, or weights or bounds are malformed.
    """
    weight = _finite(weights, "weights")
    if (weight < 0).any():
        raise EspalierError(f"Quota weights must not be negative, and weight {np.argmax(weight < 0)} is.")
    low, high = _bounds(len(weight), target, lower, upper)
    top = weight.max(initial=0.0)
    weight = np.where(weight < NOTHING * top, 0.0, weight)
    if top and not 1 / HUGE < top < HUGE:
        weight = np.ldexp(weight, -int(np.frexp(top)[1]))
    reachable = np.where(weight > 0, high, low)
    if reachable.sum() < target <= high.sum():
        weight, low = (weight == 0).astype(np.float64), reachable
    return _quota(weight, target, low, high, shifts=False)


def projected(desired: ArrayLike, target: int, lower: ArrayLike = 0, upper: ArrayLike | None = None) -> np.ndarray:
    """Round the point nearest to ``desired`` among those within whole bounds that sum to ``target``: (k,) int64.

    The nearest point in the Euclidean sense is ``clip(desired + t, lower, upper)`` for the ``t`` at which it sums to
    the target; its fractions are settled by largest remainder, to the lower index where remainders are equal. Bounds
    and refusals are those of `largest_remainder`; the wishes need not sum to the target.
    """
    wish = _finite(desired, "counts wished for")
    low, high = _bounds(len(wish), target, lower, upper)
    return _quota(wish, target, low, high, shifts=True)


def project(desired: np.ndarray, target: float, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Project ``desired`` onto {sum = target, lower <= x <= upper}, but for rounding: real, (k,) float64."""
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    t = _root(desired, np.ones(len(desired)), target, low, high)
    return np.minimum(np.maximum(desired + t, low), high)


def density_quota(
    complexity: ArrayLike,
    size: ArrayLike,
    target: int,
    *,
    temperature: float = 0.1,
    cls_bal_ratio: float = 0.5,
) -> np.ndarray:
    """Density-Based Pruning's quotas: how many of the ``size`` samples of each cluster to keep, (k,) int64.

    The wish is ``target * softmax(complexity / temperature)``; the quota is its projection (see `projected`) between
    ``min(floor(cls_bal_ratio * target / k), size)`` and ``size``. When the target allows, each cluster that has samples
    keeps at least one. The released code's temperature is 0.5.
    """
    if not temperature > 0 or not 0 <= cls_bal_ratio <= 1:
        raise EspalierError(
            f"temperature = {temperature}, cls_bal_ratio = {cls_bal_ratio}: out of range.",
            "temperature must be above 0, cls_bal_ratio between 0 and 1.",
        )
    hardness, count = _finite(complexity, "complexities"), np.asarray(size, dtype=np.int64)
    if hardness.shape != count.shape:
        raise EspalierError(f"{len(hardness)} complexities do not belong to {len(count)} cluster sizes.")
    share = np.exp((hardness - hardness.max(initial=-np.inf)) / temperature)
    return _within(target * share / share.sum(), None, count, target, cls_bal_ratio)


def sized_quota(weights: ArrayLike, size: ArrayLike, target: int, *, cls_bal_ratio: float = 0.5) -> np.ndarray:
    """Share ``target`` out as `density_quota` does, but in proportion to whole weights, such as the sizes.

    The wish ``target * weights / sum(weights)`` is taken exactly, so that equal remainders are equal.
    """
    weight = np.asarray(weights, dtype=np.int64)
    over = Fraction(int(weight.sum()), max(target, 1))
    return _within(weight.astype(np.float64), over, np.asarray(size, dtype=np.int64), target, cls_bal_ratio)


def _within(
    value: np.ndarray, over: Fraction | None, size: np.ndarray, target: int, cls_bal_ratio: float
) -> np.ndarray:
    """Project the wishes, ``value`` or ``value / over``, between a share of an even split and the sizes."""
    least = int(cls_bal_ratio * target / max(len(size), 1) + SNAP)
    if target >= np.count_nonzero(size):
        least = max(least, 1)
    low, high = _bounds(len(value), target, np.minimum(least, size), size)
    return _quota(value, target, low, high, shifts=True, over=over)


def _quota(
    value: np.ndarray, target: int, lower: np.ndarray, upper: np.ndarray, *, shifts: bool, over: Fraction | None = None
) -> np.ndarray:
    """Round the shares of a line (see `Line`), after checking that the bounds admit the target."""
    least, most = lower.sum(), upper.sum()
    if not least <= target <= most:
        raise EspalierError(
            f"A total of {target} is out of reach: the bounds allow {least} to {most}.",
            "Keep more or fewer samples, or loosen the bounds.",
        )
    if target in (least, most):
        return (lower if target == least else upper).copy()
    line = Line(value, int(target), lower.astype(np.float64), upper.astype(np.float64), shifts, over)
    base, slope = (line.base, np.ones(len(value))) if shifts else (np.zeros(len(value)), value)
    quota = round_shares(line, _root(base, slope, target, line.lower, line.upper))
    assert quota.sum() == target
    assert ((lower <= quota) & (quota <= upper)).all()
    return quota


def _finite(values: ArrayLike, what: str) -> np.ndarray:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise EspalierError(f"The {what} of a quota must be one row of finite numbers.")
    return row


def _bounds(k: int, target: int, lower: ArrayLike, upper: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as int64 rows of length k, after checking that they are bounds."""
    low = np.broadcast_to(np.asarray(lower), (k,))
    high = np.broadcast_to(np.asarray(target if upper is None else upper), (k,))
    if not (np.equal(low, np.rint(low)).all() and np.equal(high, np.rint(high)).all() and target == int(target)):
        raise EspalierError("The target and the bounds of a quota must be whole numbers.")
    low, high = low.astype(np.int64), high.astype(np.int64)
    if (low < 0).any():
        raise EspalierError(f"Quota {int(np.argmax(low < 0))} has a lower bound below 0.")
    if (low > high).any():
        where = int(np.argmax(low > high))
        raise EspalierError(f"Quota {where} has lower bound {low[where]} above its upper bound {high[where]}.")
    return low, high


def _root(base: np.ndarray, slope: np.ndarray, target: float, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the ``t`` at which ``clip(base + t * slope, lower, upper)`` sums to ``target``, but for rounding.

    The sum is piecewise linear in t with a breakpoint wherever a term meets a bound. A search over the sorted
    breakpoints, halving and interpolating in turn, finds the piece; there the free terms give t in closed form.
    """
    rises = slope > 0
    if not rises.any():
        return 0.0
    line = slice(None) if rises.all() else np.flatnonzero(rises)
    start, rise = base[line], slope[line]
    low, high = lower[line], upper[line]
    wanted = target - (0 if rises.all() else np.clip(base, lower, upper)[~rises].sum())
    with np.errstate(over="ignore"):
        enter, leave = (low - start) / rise, (high - start) / rise
    breaks = np.sort(np.concatenate([enter, leave]))
    here = np.empty_like(start)

    def at(t: float) -> np.ndarray:
        np.multiply(rise, t, out=here)
        np.add(here, start, out=here)
        np.maximum(here, low, out=here)
        return np.minimum(here, high, out=here)

    left, right, below, above, halve = 0, len(breaks) - 1, low.sum(), high.sum(), False
    while right - left > 1:
        middle = (left + right) // 2
        if not halve and below < above and breaks[right] < np.inf:
            share = (wanted - below) / (above - below)
            guess = breaks.searchsorted(breaks[left] + share * (breaks[right] - breaks[left]))
            middle = min(max(int(guess), left + 1), right - 1)
        halve = not halve
        total = np.add.reduce(at(breaks[middle]))
        if total <= wanted:
            left, below = middle, total
        else:
            right, above = middle, total
    missing = wanted - at(breaks[left]).sum()
    free = (enter <= breaks[left]) & (leave >= breaks[right]) & (leave > enter)
    return float(breaks[left] + (missing / rise[free].sum() if missing > 0 and free.any() else 0.0))
