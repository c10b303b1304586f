"""Which rows may be one picture in two files: all of those, and few others."""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.near import find_duplicates
from espalier.core.dedup.near.reencoded import equal_grid_rows, other_format_rows


def grids(n, seed=0):
    return np.random.default_rng(seed).integers(6000, 60000, (n, 243), dtype=np.uint16)


def shapes(*sizes):
    return np.array(sizes, dtype=np.int64)


def test_rows_of_equal_grid_and_size_and_other_bytes_are_candidates_once_a_content():
    a, b = grids(2)
    rows = np.stack([a, a, a, a, b, b])
    codes = np.array([7, 8, 7, 9, 1, 1])
    sizes = shapes((4, 3), (4, 3), (4, 3), (3, 4), (4, 3), (4, 3))
    # 2 has the bytes of 0; 3 is turned; 4 and 5 are equal bytes already
    assert equal_grid_rows(codes, rows, sizes, np.zeros(6, bool)).tolist() == [0, 1]


def test_groups_of_known_rows_alone_and_rows_without_a_picture_are_passed_over():
    a, b = grids(2)
    rows = np.stack([a, a, b, b, np.zeros_like(a), np.zeros_like(a)])
    sizes = shapes((4, 3), (4, 3), (4, 3), (4, 3), (0, 0), (0, 0))
    known = np.array([True, True, True, False, False, False])
    assert equal_grid_rows(np.arange(6), rows, sizes, known).tolist() == [2, 3]
    assert equal_grid_rows(np.empty(0), np.empty((0, 243), np.uint16), np.empty((0, 2)), np.empty(0)).tolist() == []


def test_near_duplicates_of_equal_size_and_other_grid_are_candidates():
    base = grids(4)
    near = np.clip(base.astype(int) + np.random.default_rng(1).integers(-40, 40, base.shape), 0, 65535)
    rows = np.concatenate([base, near.astype(np.uint16), base[3:]])
    sizes = shapes(*[(9, 9)] * 5, (9, 8), *[(9, 9)] * 3)
    found = find_duplicates(np.arange(9), rows)
    assert found.duplicate_of.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 3]
    assert other_format_rows(found, rows, sizes).tolist() == [4, 6, 7]  # 5 has another size, 8 the same grid
