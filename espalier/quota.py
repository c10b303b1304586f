"""Quotas: integers within bounds that sum exactly to the target, by weights or nearest to a wish.

Both kinds are a clipped line in one unknown, ``x(t) = clip(base + t * slope, lower, upper)``, whose sum
grows with ``t``: the root is found exactly between two breakpoints, then the fractions are settled by
largest remainder. `projected` is the exact Euclidean projection that Density-Based Pruning (arXiv
2401.04578) solves with a quadratic program; its released code rounds afterwards and misses the sum. Who is
kept inside a cluster is not decided here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from espalier.errors import EspalierError

NOTHING = 1e-200  # a weight so far below the largest counts as 0, or its reciprocal overflows
SNAP = 1e-9  # a share this near a whole number is that number: 2.9999999996 came from rounding


def largest_remainder(
    weights: ArrayLike, target: int, lower: ArrayLike = 0, upper: ArrayLike | None = None
) -> np.ndarray:
    """Share ``target`` out in proportion to ``weights``, within bounds.

    Shares are ``clip(t * weights, lower, upper)`` for the ``t`` at which they sum to the target; whole parts
    first, then one more to the largest remainders, to the lower index where remainders are equal. A weight
    of 0 gets its lower bound; only when all others are full is the rest spread evenly over the weights of 0.

    Parameters
    ----------
    weights : array_like of shape (k,)
        Finite and not negative.
    target : int
        The sum.
    lower, upper : array_like of shape (k,) or int
        Whole bounds, ``lower <= upper``. No ``upper`` means the target.

    Returns
    -------
    ndarray of shape (k,), int64

    Raises
    ------
    EspalierError
        When no integers within the bounds sum to the target, or weights or bounds are malformed.
    """
    weight = _finite(weights, "weights")
    if (weight < 0).any():
        raise EspalierError(f"Quota weights must not be negative, and weight {np.argmax(weight < 0)} is.")
    low, high = _bounds(len(weight), target, lower, upper)
    weight = weight / (weight.max(initial=0.0) or 1.0)
    weight[weight < NOTHING] = 0.0
    nothing = np.zeros(len(weight))
    reachable = np.where(weight > 0, high, low)
    if target > reachable.sum():
        shares = _root(nothing, (weight == 0).astype(np.float64), target, reachable, high)
    else:
        shares = _root(nothing, weight, target, low, high)
    return _whole(shares, target, low, high)


def projected(desired: ArrayLike, target: int, lower: ArrayLike = 0, upper: ArrayLike | None = None) -> np.ndarray:
    """Round the point nearest to ``desired`` among those within bounds that sum to ``target``.

    The nearest point in the Euclidean sense is ``clip(desired + t, lower, upper)`` for the ``t`` at which it
    sums to the target; its fractions are settled by largest remainder, to the lower index where remainders
    are equal.

    Parameters
    ----------
    desired : array_like of shape (k,)
        The counts wished for, finite; they need not sum to the target.
    target : int
        The sum.
    lower, upper : array_like of shape (k,) or int
        Whole bounds, ``lower <= upper``. No ``upper`` means the target.

    Returns
    -------
    ndarray of shape (k,), int64

    Raises
    ------
    EspalierError
        When no integers within the bounds sum to the target, or wishes or bounds are malformed.
    """
    wish = _finite(desired, "counts wished for")
    low, high = _bounds(len(wish), target, lower, upper)
    return _whole(project(wish, target, low, high), target, low, high)


def project(desired: np.ndarray, target: float, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Project ``desired`` exactly onto {sum = target, lower <= x <= upper}; real, (k,) float64."""
    return _root(desired, np.ones(len(desired)), target, lower, upper)


def density_quota(
    complexity: ArrayLike,
    size: ArrayLike,
    target: int,
    *,
    temperature: float = 0.1,
    cls_bal_ratio: float = 0.5,
) -> np.ndarray:
    """Density-Based Pruning's quotas: how many samples to keep of each cluster.

    The wish is ``target * softmax(complexity / temperature)``; the quota is its projection (see `projected`)
    between ``min(floor(cls_bal_ratio * target / k), size)`` and ``size``. When the target allows, each
    cluster that has samples keeps at least one.

    Parameters
    ----------
    complexity : array_like of shape (k,)
        ``d_intra * d_inter`` of each cluster.
    size : array_like of shape (k,)
        Samples in each cluster.
    target : int
        Samples to keep in all, at most ``size.sum()``.
    temperature : float, default 0.1
        Above 0; the smaller, the more goes to complex clusters. The released code's default is 0.5.
    cls_bal_ratio : float, default 0.5
        Share of an even split that each cluster keeps in any case, 0 to 1. The released code's default.

    Returns
    -------
    ndarray of shape (k,), int64

    Raises
    ------
    EspalierError
        When the target exceeds the samples, or a parameter is out of range.
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
    least = int(cls_bal_ratio * target / max(len(count), 1) + SNAP)
    if target >= np.count_nonzero(count):
        least = max(least, 1)
    return projected(target * share / share.sum(), target, np.minimum(least, count), count)


def _finite(values: ArrayLike, what: str) -> np.ndarray:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise EspalierError(f"The {what} of a quota must be one row of finite numbers.")
    return row


def _bounds(k: int, target: int, lower: ArrayLike, upper: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as int64 rows of length k, after checking that they admit the target."""
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
    if not low.sum() <= target <= high.sum():
        raise EspalierError(
            f"A total of {target} is out of reach: the bounds allow {low.sum()} to {high.sum()}.",
            "Keep more or fewer samples, or loosen the bounds.",
        )
    return low, high


def _root(base: np.ndarray, slope: np.ndarray, target: float, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return ``clip(base + t * slope, lower, upper)`` at the ``t`` where it sums to ``target``, (k,) float64.

    The sum is piecewise linear in t with a breakpoint wherever a term meets a bound. A search over the sorted
    breakpoints, halving and interpolating in turn, finds the piece; there the free terms give t in closed form.
    """
    rises = slope > 0
    x = np.minimum(np.maximum(base, lower), upper).astype(np.float64)
    if not rises.any():
        return x
    line = slice(None) if rises.all() else np.flatnonzero(rises)
    start, rise = base[line], slope[line]
    low, high = lower[line].astype(np.float64), upper[line].astype(np.float64)
    wanted = target - (x.sum() - x[line].sum())
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
    free = np.flatnonzero((enter <= breaks[left]) & (leave >= breaks[right]) & (leave > enter))
    if missing > 0 and len(free):
        here[free] += missing * (rise[free] / rise[free].sum())
    x[line] = np.minimum(here, high)
    return x


def _whole(shares: np.ndarray, target: int, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Round shares to integers of sum ``target`` within bounds, by largest remainder, ties to the lower index."""
    near = np.rint(shares)
    shares = np.where(np.abs(shares - near) <= SNAP * np.maximum(1.0, np.abs(near)), near, shares)
    quota = np.floor(shares).astype(np.int64)
    remainder = shares - quota
    while (missing := int(target - quota.sum())) != 0:
        step = 1 if missing > 0 else -1
        room = np.flatnonzero(quota < upper if missing > 0 else quota > lower)
        quota[room[_greatest(step * remainder[room], abs(missing))]] += step
    assert quota.sum() == target
    assert ((lower <= quota) & (quota <= upper)).all()
    return quota


def _greatest(values: np.ndarray, count: int) -> np.ndarray:
    """Find the ``count`` greatest values (all when fewer), the lower index first where they are equal."""
    if count >= len(values):
        return np.arange(len(values))
    edge = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > edge)
    return np.concatenate([above, np.flatnonzero(values == edge)[: count - len(above)]])
