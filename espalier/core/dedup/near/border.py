"""The pairs nearest to the threshold on both sides, gathered while a search runs: what a person should look at."""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.pairs import Pairs

BORDER_PAIRS = 24
BORDER_BELOW = 0.08


class Border:
    """Keeps the ``count`` lowest pairs above ``threshold`` and the ``count`` highest at or below it."""

    def __init__(self, threshold: float, count: int) -> None:
        self._threshold, self._count = threshold, count
        self._above, self._below = Pairs.empty(), Pairs.empty()

    def above(self, pairs: Pairs) -> Pairs:
        """Take note of ``pairs`` and return those above the threshold."""
        over = pairs.similarity > self._threshold
        high, low = pairs.take(over), pairs.take(~over)
        self._above = self._nearest(Pairs.concatenate([self._above, high]), 1)
        self._below = self._nearest(Pairs.concatenate([self._below, low]), -1)
        return high

    def pairs(self, row: np.ndarray) -> Pairs:
        """All pairs kept so far, most similar first, with their numbers mapped by ``row``."""
        nearest = Pairs.concatenate([self._above, self._below])
        nearest = nearest.take(np.lexsort((nearest.j, nearest.i, -nearest.similarity)))
        a, b = row[nearest.i], row[nearest.j]
        return Pairs(np.minimum(a, b), np.maximum(a, b), nearest.similarity)

    def _nearest(self, pairs: Pairs, sign: int) -> Pairs:
        if len(pairs) > 64 * self._count:  # cut before sorting: a block can hold millions
            bound = np.partition(sign * pairs.similarity, self._count)[self._count]
            pairs = pairs.take(sign * pairs.similarity <= bound)
        order = np.lexsort((pairs.j, pairs.i, sign * pairs.similarity))
        return pairs.take(order[: self._count])
