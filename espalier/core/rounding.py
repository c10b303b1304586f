"""Shares made whole by largest remainder: floats propose, whole numbers decide where floats cannot tell.

The shares are a clipped line in one unknown, at the t at which they sum to the target. Float64 gives each of them to
within a known slack, which settles all but those whose remainder is as near as that to the last one rounded up. For
these, t and the shares are worked out in whole numbers over one denominator, from the given numbers as they are:
remainders that are equal are equal then, and the lower index comes first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

ERROR = 64 * 2.0**-52  # of a sum of any length, relative to what was added up: numpy adds in pairs
_WORD, _FLOAT = 2**62, 2**53  # whole numbers below these are exact in int64, in float64


@dataclass(frozen=True)
class Line:
    """``clip(t * value, lower, upper)``, or ``clip(value / over + t, lower, upper)`` where it ``shifts``.

    Values are not negative unless it shifts; bounds are whole numbers in float64, and admit the ``target`` not only at
    one of their ends. ``over`` is there so that wishes such as 4 / 3 can be said exactly.
    """

    value: np.ndarray
    target: int
    lower: np.ndarray
    upper: np.ndarray
    shifts: bool = False
    over: Fraction | None = None

    @cached_property
    def base(self) -> np.ndarray:
        """Where a line that shifts begins, at t = 0: (k,) float64."""
        return self.value if self.over is None else self.value / float(self.over)

    def at(self, t: float) -> np.ndarray:
        """Return the line at ``t``, not clipped: (k,) float64."""
        return self.base + t if self.shifts else self.value * t

    def slack(self, x: np.ndarray, share: np.ndarray, free: np.ndarray, t: float) -> float:
        """Return by how much ``x``, the line at ``t``, may be off where it is not beyond a bound for certain.

        The sum of the shares is off by a known error, and t by that over what the sum rises with it, as long as half
        of the ``free`` terms stay free all that way. Where they may not, floats say nothing, and it is infinite.
        """
        size = float(share.max()) + (2 * abs(t) if self.shifts else 0)
        error = 2 * ERROR * (3 * self.target + (2 * abs(t) * len(x) if self.shifts else 0))
        rise = np.count_nonzero(free) if self.shifts else float(share[free].sum())
        if not rise:
            return np.inf
        off = error / rise if self.shifts else error / rise * share
        sure = (self.lower < x - off) & (x + off < self.upper)
        slack = 2 * float(np.max(off)) + ERROR * size
        staying = np.count_nonzero(sure) if self.shifts else share[sure].sum()
        return slack if 2 * staying >= rise and slack < 1 / 8 else np.inf

    def exactly(self, rows: np.ndarray, t: Fraction) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return line, lower and upper of ``rows`` at ``t`` as whole numbers over a denominator, the last one."""
        whole, scale = _whole_numbers(self.value[rows])
        times, plus = (1 / (self.over or Fraction(1)), t) if self.shifts else (t, Fraction(0))
        times /= scale
        under = math.lcm(times.denominator, plus.denominator)
        factor, summand = int(times * under), int(plus * under)
        low, high = self.lower[rows].astype(np.int64), self.upper[rows].astype(np.int64)
        greatest = max(int(whole.max(initial=1)), -int(whole.min(initial=0)))
        if greatest * abs(factor) + abs(summand) + (int(high.max(initial=0)) + 1) * under >= _WORD:
            whole, low, high = whole.astype(object), low.astype(object), high.astype(object)
        return whole * factor + summand, low * under, high * under, under

    def root(self, x: np.ndarray, slack: float) -> Fraction:
        """Return the exact t, ``x`` being the line at about that t.

        What is farther than ``slack`` from its bounds is between or beyond them for certain. The rest is taken for
        free, and what leaves its bounds on the heavier side is put there for good, until the sides are even (Bitran and
        Hax 1981).
        """
        moves = self.movable()
        high = moves & (x > self.upper + slack)
        free = moves & ~high & (x >= self.lower - slack)
        bound = int(np.where(high, self.upper, self.lower)[~free].sum())
        unsure = np.flatnonzero(free & ((x <= self.lower + slack) | (x >= self.upper - slack)))
        while True:
            total = exact_sum(self.value[free])
            if self.shifts:
                t = (self.target - bound - total / (self.over or 1)) / int(np.count_nonzero(free))
            else:
                t = (self.target - bound) / total
            line, low, top, _ = self.exactly(unsure, t)
            above, below = line > top, line < low
            excess, lack = sum((line - top)[above].tolist()), sum((low - line)[below].tolist())
            if excess == lack:
                return t
            leaves, ends = (above, self.upper) if excess > lack else (below, self.lower)
            free[unsure[leaves]] = False
            bound += int(ends[unsure[leaves]].sum())
            unsure = unsure[~leaves]

    def movable(self) -> np.ndarray:
        """Return which shares depend on t: (k,) bool."""
        moves: np.ndarray = self.lower < self.upper
        return moves if self.shifts else moves & (self.value > 0)


def round_shares(line: Line, t: float) -> np.ndarray:
    """Round the shares of ``line`` by largest remainder, the lower index first where remainders are equal: (k,) int64.

    ``t`` is where the line sums to the target, as well as float64 can tell.
    """
    x = line.at(t)
    share = np.minimum(np.maximum(x, line.lower), line.upper)
    slack = line.slack(x, share, (line.lower < x) & (x < line.upper), t)
    near = np.rint(share)
    share = np.where(np.abs(share - near) <= 2 * slack, near, share)
    whole = np.floor(share)
    remainder, quota = share - whole, whole.astype(np.int64)
    left, last = _cut(remainder, int(line.target - quota.sum()))
    if not (last > 6 * slack and left < 1 - 6 * slack):  # shares near a whole number could change places
        return _settle(line, x, slack, quota, np.flatnonzero(line.movable()))
    if left < last - 2 * slack:
        return quota + (remainder >= last)
    quota += remainder > last + 2 * slack
    tied = np.flatnonzero(np.abs(remainder - last) <= 2 * slack)
    if np.ptp(line.value[tied]) > 0:
        return _settle(line, x, slack, quota, tied)
    quota[tied[: line.target - int(quota.sum())]] += 1
    return quota


def exact_sum(values: np.ndarray) -> Fraction:
    """Add float64 numbers without rounding."""
    if np.abs(values).sum() < _FLOAT and (values == np.rint(values)).all():
        return Fraction(int(values.sum()))
    total, rest = Fraction(0), values.tolist()
    while part := math.fsum(rest):
        total += Fraction(part)
        rest.append(-part)
    return total


def _settle(line: Line, x: np.ndarray, slack: float, quota: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Round the shares of ``rows`` in whole numbers, all others being settled in ``quota`` (changed in place)."""
    share, low, high, under = line.exactly(rows, line.root(x, slack))
    share = np.minimum(np.maximum(share, low), high)
    quota[rows] = (share // under).astype(np.int64)
    order = np.argsort(-(share % under), kind="stable")
    quota[rows[order[: line.target - int(quota.sum())]]] += 1
    return quota


def _cut(remainder: np.ndarray, missing: int) -> tuple[float, float]:
    """Return the greatest remainder that is not rounded up and the least that is; 0 and 1 where there is none."""
    at = len(remainder) - missing
    if missing <= 0 or at <= 0:
        return (float(remainder.max()), 1.0) if missing == 0 else (0.0, 0.0)
    parts = np.partition(remainder, at)
    return float(parts[:at].max()), float(parts[at])


def _whole_numbers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return ``values`` times a power of two as whole numbers, int64 or Python's, and that power."""
    if np.abs(values).max(initial=0.0) < _WORD and (values == np.rint(values)).all():
        return values.astype(np.int64), 1
    ratios = [value.as_integer_ratio() for value in values.tolist()]
    scale = max(under for _, under in ratios)
    return np.array([over * (scale // under) for over, under in ratios], dtype=object), scale
