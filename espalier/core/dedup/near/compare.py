"""Comparing some rows with others: the bound first, then exact products for what it lets through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.near.features import mirror_features
from espalier.core.dedup.pairs import Pairs
from espalier.core.linalg import FEW, LEAST_WORK, NOISE, SAMPLE, Screen, choose_axes, gather, product, project

AS_IS, MIRRORED = False, True
MOST_SCREEN = 1 << 30  # bytes of projected features held at once


@dataclass(frozen=True)
class Prepared:
    """Rows made ready to be compared many times: screened for each way, as they are, mirrored, or both."""

    rows: np.ndarray
    ways: tuple[bool, ...]
    screened: list[np.ndarray]


class Comparer:
    """Finds pairs above ``floor`` between given rows of ``features``, whose products are exact: bounds only save work.

    About ``pairs`` pairs will be compared; for few no bound is prepared. With ``cosine`` each product is divided by the
    norms of its rows, which rounding has left a little off 1: equal rows then have a similarity of exactly 1, and no
    rows a greater one. ``comparisons`` counts the pairs looked at so far, mirrored ones apart.
    """

    def __init__(self, features: np.ndarray, floor: float, pairs: int, *, cosine: bool = False) -> None:
        self.features, self.floor = features, floor
        self._squares = np.einsum("ij,ij->i", features, features).astype(np.float64) if cosine else None
        least = 1.0 if self._squares is None else self._squares.min(initial=1.0) * (1 - NOISE)
        self._low = floor * float(least)  # no product below it belongs to a pair above the floor
        self._axes = _axes(features, self._low) if pairs * features.shape[1] >= LEAST_WORK else None
        self._screen = Screen(features, self._axes, MOST_SCREEN)
        self.comparisons = 0

    def prepare(self, rows: np.ndarray, ways: tuple[bool, ...]) -> Prepared:
        """Make the later rows of comparisons ready."""
        return Prepared(rows, ways, [self._screened(rows, way) for way in ways])

    def between(self, later: Prepared, earlier: np.ndarray) -> Pairs:
        """Find pairs ``i < j`` above the floor, j of ``later`` and i of ``earlier`` (both ascending)."""
        if not len(earlier) or not len(later.rows):
            return Pairs.empty()
        tile = _greatest(later.screened, self._screen.of(earlier))
        self.comparisons += tile.size * len(later.ways)
        low = self._low - NOISE if self._screen.projects else self._low
        if tile.max() <= low:
            return Pairs.empty()
        places = np.flatnonzero(tile > low)
        few = len(places) <= tile.size // FEW
        if self._screen.projects and not few:
            tile = _greatest([self._full(later.rows, way) for way in later.ways], self._full(earlier, AS_IS))
            places = np.flatnonzero(tile > self._low)
        b, a = np.divmod(places, tile.shape[1])
        i, j = earlier[a], later.rows[b]
        similarity = self._products(i, j, later.ways) if self._screen.projects and few else tile.ravel()[places]
        if self._squares is not None:
            similarity = similarity / np.sqrt(self._squares[i] * self._squares[j])
        wanted = (i < j) & (similarity > self.floor)
        return Pairs(i[wanted], j[wanted], np.minimum(similarity[wanted], 1).astype(np.float32, copy=False))

    def _screened(self, rows: np.ndarray, way: bool) -> np.ndarray:
        if way == AS_IS:
            return self._screen.of(rows)
        full = self._full(rows, way)
        return full if self._axes is None else project(full, self._axes)

    def _full(self, rows: np.ndarray, way: bool) -> np.ndarray:
        full = gather(self.features, rows)
        return mirror_features(full) if way == MIRRORED else full

    def _products(self, i: np.ndarray, j: np.ndarray, ways: tuple[bool, ...]) -> np.ndarray:
        products = np.empty(len(i), dtype=np.float32)
        for start in range(0, len(i), SAMPLE):
            part = slice(start, start + SAMPLE)
            left = self.features[i[part]]
            ways_products = [np.einsum("ij,ij->i", left, self._full(j[part], way)) for way in ways]
            products[part] = np.max(ways_products, axis=0)
        return products


def _greatest(queries: list[np.ndarray], columns: np.ndarray) -> np.ndarray:
    shape = len(queries[0]), len(columns)
    tile = product(queries[0], columns, np.empty(shape, dtype=np.float32))
    for other in queries[1:]:
        np.maximum(tile, product(other, columns, np.empty(shape, dtype=np.float32)), out=tile)
    return tile


def _axes(features: np.ndarray, floor: float) -> np.ndarray | None:
    """Axes tried on pairs of rows far apart in the order, so that groups of copies do not count."""
    n = len(features)
    rows = np.arange(0, n, max(1, n // SAMPLE))
    sample = features[rows]
    return choose_axes(sample, sample, np.roll(sample, len(sample) // 2 + 1, axis=0), floor)
