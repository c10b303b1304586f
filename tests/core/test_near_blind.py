"""Rows without a picture among those that are searched for duplicates."""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.near import DEFAULT_THRESHOLD, find_duplicates
from espalier.core.rng import generator


def grids(n: int) -> np.ndarray:
    return generator(0, "blind").integers(0, 65536, (n, 243)).astype(np.uint16)


def test_rows_without_a_picture_are_copies_only_by_their_codes() -> None:
    blind = np.array([False, False, True, True, True, True])
    pictures = np.where(blind[:, None], np.uint16(0), grids(6))
    pictures[1] = pictures[0]
    found = find_duplicates(np.array([0, 1, 2, 3, 3, 4]), pictures, blind=blind)
    assert found.duplicate_of.tolist() == [-1, 0, -1, -1, 3, -1]
    assert found.stage.tolist() == ["", "near", "", "", "exact", ""]


def test_texts_alone_are_not_searched_and_leave_the_default_threshold() -> None:
    n, done = 500, []
    found = find_duplicates(
        np.arange(n) // 2, np.zeros((n, 243), np.uint16), blind=np.ones(n, bool), progress=done.append
    )
    assert found.kept.sum() == n // 2
    assert found.search.comparisons == 0
    assert found.threshold == DEFAULT_THRESHOLD
    assert sum(done) == n


def test_pictures_are_judged_as_if_no_text_stood_beside_them() -> None:
    seen = grids(60)
    seen[30:] = (seen[:30].astype(np.float32) * 0.97).astype(np.uint16)
    alone = find_duplicates(np.arange(60), seen)
    mixed = np.concatenate([seen, np.zeros((40, 243), np.uint16)])
    among = find_duplicates(np.arange(100), mixed, blind=np.arange(100) >= 60)
    assert among.threshold == alone.threshold
    assert np.array_equal(among.duplicate_of[:60], alone.duplicate_of)
    assert (among.duplicate_of[60:] == -1).all()
