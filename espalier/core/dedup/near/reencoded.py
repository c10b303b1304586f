"""Which images may be one picture that was saved again without loss, so that only these need decoding in full.

Equal pixels give equal grids when both files are decoded alike, so equal grid and size make a candidate. A decoder that
reads one format at reduced scale (JPEG) gives a slightly other grid than the whole picture saved in another format:
there a pair of equal size, found as near duplicates, is a candidate.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.near.duplicates import Duplicates
from espalier.core.dedup.near.equal import first_equal

ALIKE = 0.9  # photos read at reduced scale and in full: 0.976 or more; uniform noise 0.974, sparse dots 0.953


def equal_grid_rows(codes: np.ndarray, grids: np.ndarray, shapes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Find rows that share grid and size with a row of other bytes: int64, ascending; of equal bytes only the first.

    ``shapes``, (n, 2) int64, are width and height as displayed; 0 for rows without a picture, which are passed over, as
    are groups of ``known`` rows, of an earlier run, alone.
    """
    n = len(codes)
    if not n:
        return np.empty(0, dtype=np.int64)
    _, first, inverse = np.unique(np.asarray(codes), return_index=True, return_inverse=True)
    first = first[inverse]  # equal bytes have equal grids, so one row stands for all of a code
    rows = np.flatnonzero((first == np.arange(n)) & (shapes.min(axis=1) > 0))
    _, size = np.unique(shapes[rows] @ np.array([1 << 31, 1]), return_inverse=True)
    _, group = np.unique(first_equal(grids, rows) * (n + 1) + size, return_inverse=True)
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    new = place[first[~known]]
    fresh = np.zeros(len(rows), bool)
    fresh[group[new[new >= 0]]] = True
    several = np.bincount(group, minlength=len(rows)) > 1
    return rows[several[group] & fresh[group]]


def other_format_rows(duplicates: Duplicates, grids: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Find near duplicates that may be their representative in another format.

    Rows as large as the row that they copy, more similar to it than 0.9, of another grid; ascending.
    """
    rows = np.flatnonzero(
        (duplicates.stage == "near") & ~duplicates.mirrored & ~duplicates.chained & (duplicates.similarity > ALIKE)
    )
    owners = duplicates.duplicate_of[rows]
    return rows[(shapes[rows] == shapes[owners]).all(axis=1) & (grids[rows] != grids[owners]).any(axis=1)]
