"""The pairs of rows that follow from equal rows and from verified pairs of nodes. Not here: finding them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.copies import Verified
from espalier.core.dedup.copies.affine import exchanged, identity

MOST_EQUAL = 24  # of so many equal rows each has its pairs told


@dataclass(frozen=True)
class CopyPairs:
    """Pairs of rows that were compared after alignment, or are equal; columns of shape (m,).

    Attributes
    ----------
    i, j : ndarray, int64
        Row, and the row of the two that is preferred; each pair once, in order.
    exact : ndarray, bool
        Equal bytes or pixels.
    similarity, overlap : ndarray, float32
        1 and 1 for equal rows.
    mirrored : ndarray, bool
        It is the mirror image of j that i was aligned with.
    transform : ndarray of shape (m, 2, 3), float32
        From coordinates of i, -1 to 1 on each side, to those of j or of its mirror image.
    """

    i: np.ndarray
    j: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray
    overlap: np.ndarray
    mirrored: np.ndarray
    transform: np.ndarray

    def take(self, where: np.ndarray) -> CopyPairs:
        """Select the pairs at ``where`` (a mask or indices)."""
        return CopyPairs(*(column[where] for column in vars(self).values()))


def equal_rows(of: np.ndarray, preference: np.ndarray, codes: np.ndarray) -> CopyPairs:
    """Pair the rows of each node, with the ``MOST_EQUAL`` that are preferred.

    Parameters
    ----------
    of : ndarray of shape (n,), int64
        Node of each row, -1 for none.
    preference : ndarray of shape (n,), int64
    codes : ndarray of shape (n,)
        Equal for equal bytes or pixels; rows of one node with other codes have equal grids.
    """
    rows, begin, size = _members(of, preference)
    here = np.arange(len(rows)) - np.repeat(begin, size)
    count = np.minimum(here, MOST_EQUAL)
    i = np.repeat(np.arange(len(rows)), count)
    j = np.repeat(np.repeat(begin, size), count) + _places(count)
    i, j, m = rows[i], rows[j], len(i)
    one = np.ones(m, np.float32)
    return CopyPairs(i, j, codes[i] == codes[j], one, one, np.zeros(m, bool), identity(m).astype(np.float32))


def rows_of_nodes(verified: Verified, of: np.ndarray, preference: np.ndarray) -> CopyPairs:
    """Give the pairs of rows for pairs of nodes, for the ``MOST_EQUAL`` of each node that are preferred."""
    rows, begin, size = _members(of, preference)
    size = np.minimum(size, MOST_EQUAL)
    pairs = verified.pairs
    count = size[pairs.i] * size[pairs.j]
    pair, place = np.repeat(np.arange(len(pairs)), count), _places(count)
    i = rows[begin[pairs.i[pair]] + place // size[pairs.j[pair]]]
    j = rows[begin[pairs.j[pair]] + place % size[pairs.j[pair]]]
    mirrored, transform = pairs.mirrored[pair], pairs.start[pair]
    turn = preference[i] < preference[j]
    transform[turn] = exchanged(transform[turn], mirrored[turn])
    return CopyPairs(
        np.where(turn, j, i),
        np.where(turn, i, j),
        np.zeros(len(pair), bool),
        verified.similarity[pair],
        verified.overlap[pair],
        mirrored,
        transform.astype(np.float32),
    )


def joined_pairs(parts: list[CopyPairs]) -> CopyPairs:
    """All pairs in the order of (i, j)."""
    both = CopyPairs(*(np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])))
    return both.take(np.lexsort((both.j, both.i)))


def _members(of: np.ndarray, preference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows by node, the preferred first; where each node's begin, and how many they are."""
    rows = np.flatnonzero(of >= 0)
    rows = rows[np.lexsort((preference[rows], of[rows]))]
    size = np.bincount(of[rows])
    return rows, np.cumsum(size) - size, size


def _places(count: np.ndarray) -> np.ndarray:
    """Count from 0 within each run: [2, 3] gives [0, 1, 0, 1, 2]."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
