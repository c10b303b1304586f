"""Which grids are equal: by a hash, and then compared, so that a hash that two of them share decides nothing.

Sorting the grids themselves would compare and copy half a kilobyte a row. Rows that are equal, by code or by grid,
become one node of the near search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.pairs import components
from espalier.core.rng import generator

_BLOCK = 8192


def first_equal(grids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each chosen row the place, among those chosen, of the first one with an equal grid: (p,) int64."""
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


@dataclass(frozen=True)
class Nodes:
    """Classes of equal rows, known ones first, then by preference.

    ``of`` is the node of every row, -1 for rows left out; ``leader`` the row whose grid stands for the node; ``face``
    the row preferred to be kept, one that may not go when the node has one. All int64.
    """

    of: np.ndarray
    leader: np.ndarray
    face: np.ndarray


def make_nodes(
    codes: np.ndarray,
    grids: np.ndarray,
    preference: np.ndarray,
    known: np.ndarray,
    rows: np.ndarray,
    blind: np.ndarray,
) -> Nodes:
    """Collapse equal rows: of equal codes, or of equal grids unless ``blind``, whose grids mean nothing.

    ``preference`` ranks the rows, all differently; ``rows``, ascending, take part; nodes of ``known`` rows, of an
    earlier run, come first.
    """
    n, p = len(codes), len(rows)
    by_code = _first_equal_code(codes[rows])
    seeing = np.flatnonzero(~blind[rows])
    by_grid = by_code.copy()
    by_grid[seeing] = seeing[first_equal(grids, rows[seeing])]
    place = np.arange(p)
    name = components(p, np.concatenate([place, place]), np.concatenate([by_code, by_grid]))

    face = _best(name, preference[rows])
    order = np.lexsort((preference[rows], ~known[rows]))
    turn = np.empty(p, dtype=np.int64)
    turn[order] = place
    leader = _best(name, turn)
    heads = np.flatnonzero(name == place)
    heads = heads[np.lexsort((preference[rows][face[heads]], ~known[rows][leader[heads]]))]
    number = np.empty(p, dtype=np.int64)
    number[heads] = np.arange(len(heads))
    of = np.full(n, -1, dtype=np.int64)
    of[rows] = number[name]
    return Nodes(of, rows[leader[heads]], rows[face[heads]])


def _first_equal_code(values: np.ndarray) -> np.ndarray:
    """For each entry the place of the first entry equal to it."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse.ravel()]


def _best(name: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """At each class's name the place of its member of lowest rank; meaningless elsewhere."""
    order = np.argsort(rank)[::-1]
    best = np.zeros(len(name), dtype=np.int64)
    best[name[order]] = order  # the last write, of the lowest rank, stays
    return best
