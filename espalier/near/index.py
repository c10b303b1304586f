"""An inverted-file index for many rows: cells around sampled rows, searched by matrix products.

Each row belongs to the cell of its nearest centre and visits the cells of its ``PROBES`` nearest centres; a pair is
found when either row visits the other's cell. Centres are rows themselves, so all products are exact (see
``espalier.near.features``) and what is found does not depend on threads or blocks; k-means centres would depend on
them, and visits from both sides make up for their better cells. On 50,000 features it was faster than faiss's
IVFFlat, because tiles of rows times cells are products of matrices. Not here: the choice between this and brute force.
"""

from __future__ import annotations

import numpy as np

from espalier.near.features import mirror_features
from espalier.pairs import Pairs

CELLS_PER_ROOT = 4  # cells: this times sqrt(n)
PROBES = 36
ROWS = 16_384
_STEP = 4096


class CellIndex:
    """Finds pairs of rows of ``features``; built once, read many times.

    Parameters
    ----------
    features : ndarray of shape (n, d), float32
        From ``gradient_features``.
    flips : bool
        Visit with the mirrored rows as well.
    rng : numpy.random.Generator
        Draws the centres.

    Attributes
    ----------
    comparisons : int
        Inner products computed so far, those with the centres included.
    """

    def __init__(self, features: np.ndarray, *, flips: bool, rng: np.random.Generator) -> None:
        n = len(features)
        cells = min(n, int(CELLS_PER_ROOT * np.sqrt(n)))
        self._features = features
        self._centres = features[np.sort(rng.choice(n, cells, replace=False))]
        self.comparisons = 0
        self._visits = [_Visits(self._nearest(features, mirrored=False), cells)]
        self._own = self._visits[0].own
        if flips:
            self._visits.append(_Visits(self._nearest(features, mirrored=True), cells))
        self._members = np.argsort(self._own, kind="stable")
        self._bounds = np.searchsorted(self._own[self._members], np.arange(cells + 1))

    def _nearest(self, features: np.ndarray, *, mirrored: bool) -> np.ndarray:
        """Find the nearest centres of each row, the very nearest first: (n, PROBES) int32."""
        count = min(PROBES, len(self._centres))
        nearest = np.empty((len(features), count), dtype=np.int32)
        for start in range(0, len(features), _STEP):
            rows = features[start : start + _STEP]
            score = (mirror_features(rows) if mirrored else rows) @ self._centres.T
            self.comparisons += score.size
            best = score.argmax(axis=1)
            chosen = np.argpartition(score, -count, axis=1)[:, -count:]
            place = (chosen == best[:, None]).argmax(axis=1)  # of equally near centres the lowest is the own cell
            chosen[np.arange(len(chosen)), place] = chosen[:, 0]
            chosen[:, 0] = best
            nearest[start : start + _STEP] = chosen
        return nearest

    def pairs_of(self, start: int, stop: int, floor: float, most: int) -> Pairs | None:
        """Pairs of rows ``start .. stop - 1`` with earlier rows.

        Parameters
        ----------
        start, stop : int
        floor : float
            Similarity above which a pair is given.
        most : int
            Give up (None) when there are more pairs, unless there is one row only.
        """
        parts: list[Pairs] = []
        held = 0
        for mirrored, visits in enumerate(self._visits):
            for cell in range(len(self._centres)):
                members = self._members[self._bounds[cell] : self._bounds[cell + 1]]
                members = members[: np.searchsorted(members, stop)]
                visitors = visits.of(cell, stop)
                new = visitors[np.searchsorted(visitors, start) :]
                parts.append(self._compare(members, new, floor, bool(mirrored)))
                fresh = members[np.searchsorted(members, start) :]
                found = self._compare(visitors, fresh, floor, bool(mirrored))
                mutual = (visits.nearest[found.j] == self._own[found.i][:, None]).any(axis=1)
                parts.append(found.take(~mutual))
                held += len(parts[-1]) + len(parts[-2])
                if held > most and stop - start > 1:
                    return None
        found = Pairs.concatenate(parts)
        return _greater(found) if len(self._visits) > 1 else found

    def _compare(self, earlier: np.ndarray, later: np.ndarray, floor: float, mirrored: bool) -> Pairs:
        """Pairs ``i < j`` with i of ``earlier`` and j of ``later``."""
        if not len(earlier) or not len(later):
            return Pairs.empty()
        queries = self._features[later]
        if mirrored:
            queries = mirror_features(queries)
        parts = []
        for start in range(0, len(earlier), _STEP):
            rows = earlier[start : start + _STEP]
            tile = queries @ self._features[rows].T
            self.comparisons += tile.size
            if tile.max() > floor:
                b, a = np.divmod(np.flatnonzero(tile > floor), tile.shape[1])
                i, j = rows[a], later[b]
                before = i < j
                parts.append(Pairs(i[before], j[before], np.minimum(tile[b, a][before], np.float32(1))))
        return Pairs.concatenate(parts)


class _Visits:
    """Which rows visit which cell, in compressed rows."""

    def __init__(self, nearest: np.ndarray, cells: int) -> None:
        self.nearest = nearest
        self.own = nearest[:, 0].astype(np.int64)
        flat = nearest.ravel()
        order = np.argsort(flat, kind="stable")
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=cells))])
        self._rows = order // max(nearest.shape[1], 1)

    def of(self, cell: int, stop: int) -> np.ndarray:
        """Rows before ``stop`` that visit ``cell``, ascending."""
        rows = self._rows[self._bounds[cell] : self._bounds[cell + 1]]
        return rows[: np.searchsorted(rows, stop)]


def _greater(pairs: Pairs) -> Pairs:
    """Pairs found twice, as they are and mirrored, become one with the greater similarity."""
    ordered = pairs.take(np.lexsort((-pairs.similarity, pairs.i, pairs.j)))
    new = (np.diff(ordered.i, prepend=-1) != 0) | (np.diff(ordered.j, prepend=-1) != 0)
    return ordered.take(new)
