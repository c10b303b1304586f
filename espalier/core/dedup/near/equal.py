"""Which grids are equal: by a hash, and then compared, so that a hash that two of them share decides nothing.

Sorting the grids themselves would compare and copy half a kilobyte a row.
"""

from __future__ import annotations

import numpy as np

from espalier.core.rng import generator

_BLOCK = 8192


def first_equal(grids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each chosen row the place, among those chosen, of the first one with an equal grid.

    Parameters
    ----------
    grids : ndarray of shape (n, d), uint16
    rows : ndarray of shape (p,), int64

    Returns
    -------
    ndarray of shape (p,), int64
        At most the row's own place.
    """
    keys = _keys(grids, rows)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    place = first[inverse]
    later = np.flatnonzero(place != np.arange(len(rows)))
    differs = np.zeros(len(rows), bool)
    for start in range(0, len(later), _BLOCK):
        part = later[start : start + _BLOCK]
        differs[part] = (grids[rows[part]] != grids[rows[place[part]]]).any(axis=1)
    if differs.any():
        shared = np.flatnonzero(np.isin(keys, keys[differs]))
        whole = np.ascontiguousarray(grids[rows[shared]]).view(np.dtype((np.void, grids.shape[1] * grids.itemsize)))
        _, first, inverse = np.unique(whole.ravel(), return_index=True, return_inverse=True)
        place[shared] = shared[first[inverse]]
    return place


def _keys(grids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Hash rows to 64 bits: a sum, modulo 2**64, of their numbers times random odd ones."""
    factors = generator(0, "equal grids").integers(0, 2**63, grids.shape[1], dtype=np.uint64) * 2 + 1
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        keys[start : start + len(part)] = grids[part].astype(np.uint64) @ factors
    return keys
