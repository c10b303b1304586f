"""Verified duplicates: which rows stay, mirror images in one place and in two, and the pairs that are told."""

import cv2
import numpy as np
import pytest

from espalier.core.dedup.near import find_verified_duplicates
from espalier.core.dedup.near.copy_pairs import MOST_EQUAL
from espalier.io.images.grid import area_grid, grey_thumb


def scene(seed):
    """Blobs and blocks of many sizes and colours: (192, 192, 3) uint8."""
    rng = np.random.default_rng(seed)
    picture = np.full((192, 192, 3), rng.integers(60, 200, 3), np.uint8)
    for size in np.geomspace(96, 6, 40):
        x, y, w, h = (int(v) for v in (*rng.integers(0, 192, 2), *(size * rng.uniform(0.3, 1, 2))))
        cv2.rectangle(picture, (x, y), (x + w, y + h), rng.integers(0, 256, 3).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), 1)


def search(pictures, codes=None, **options):
    grids = np.stack([area_grid(p) for p in pictures])
    thumbs = np.stack([grey_thumb(p).reshape(32, 32) for p in pictures])
    return find_verified_duplicates(np.arange(len(pictures)) if codes is None else codes, grids, thumbs, **options)


def pairs(told):
    return set(zip(told.i.tolist(), told.j.tolist(), strict=True))


@pytest.fixture(scope="module")
def strangers():
    return [scene(k) for k in range(40)]


def test_cropped_shifted_and_squeezed_copies_go_and_each_is_a_verified_copy_of_what_stays(strangers):
    p = strangers[0]
    copies = [p[14:174, 20:190], np.roll(p, 9, axis=1)[:, 9:], cv2.resize(p, (150, 192)), cv2.resize(p, (96, 96))]
    found = search([*strangers, *copies])
    assert np.flatnonzero(~found.kept).tolist() == [40, 41, 42, 43]
    assert set(found.duplicate_of[40:]) == {0}
    assert set(found.stage[40:]) == {"near"}
    assert {(k, 0) for k in range(40, 44)} <= pairs(found.copies)
    assert found.similarity[40:].min() > found.threshold == 0.65


def test_a_mirror_image_goes_from_another_subset_but_stays_in_the_same_one_unless_flips_are_asked(strangers):
    pictures = [*strangers, np.ascontiguousarray(strangers[0][:, ::-1])]
    places = np.zeros(41, int)
    same = search(pictures, places=places)
    assert same.kept.all()
    assert pairs(same.copies) == {(40, 0)}, "it is told all the same"
    assert not search(pictures, places=places, flips=True).kept[40]
    places[40] = 1
    other = search(pictures, places=places)
    assert np.flatnonzero(~other.kept).tolist() == [40]
    assert other.mirrored[40]


def test_a_picture_that_is_alike_both_ways_goes_though_its_mirror_image_is_the_more_alike(strangers):
    half = strangers[0][:, :96]
    nearly = np.concatenate([half, half[:, ::-1]], axis=1)
    nearly[60:110, 110:150] = 255 - nearly[60:110, 110:150]
    found = search([*strangers[1:], nearly, np.ascontiguousarray(nearly[:, ::-1])])
    assert np.flatnonzero(~found.kept).tolist() == [40]
    assert not found.mirrored[40]
    assert found.similarity[40] < 0.99, "mirrored it would be 1"


def test_a_protected_picture_with_five_copies_has_five_pairs(strangers):
    p = strangers[0]
    copies = [p, p[14:174, 20:190], p[:, ::-1], cv2.resize(p, (96, 96)), (p * 0.7).astype(np.uint8)]
    codes = np.arange(45)
    codes[40] = 0
    protected = np.arange(45) == 0
    copies = [np.ascontiguousarray(c) for c in copies]
    found = search([*strangers, *copies], codes, places=(~protected).astype(int), protected=protected)
    assert {pair for pair in pairs(found.copies) if pair[1] == 0} == {(k, 0) for k in range(40, 45)}
    assert found.copies.exact[(found.copies.i == 40) & (found.copies.j == 0)].tolist() == [True]
    assert np.flatnonzero(~found.kept).tolist() == [40, 41, 42, 43, 44]


def test_the_transform_of_a_pair_leads_from_the_copy_to_what_it_copies(strangers):
    found = search([*strangers, strangers[0][14:174, 20:190]])
    (k,) = np.flatnonzero((found.copies.i == 40) & (found.copies.j == 0))
    expected = [[170 / 192, 0, 210 / 192 - 1], [0, 160 / 192, 188 / 192 - 1]]
    assert np.abs(found.copies.transform[k] - expected).max() < 0.06


def test_pairs_of_known_rows_are_not_told_again(strangers):
    pictures = [*strangers, strangers[0][8:184, 8:184], strangers[0][14:174, 20:190]]
    known = np.arange(42) < 41
    found = search(pictures, known=known)
    assert found.kept[:41].all()
    assert not found.kept[41]
    assert pairs(found.copies) == {(41, 0), (41, 40)}


def test_many_equal_rows_have_a_bounded_number_of_pairs(strangers):
    n = 3 * MOST_EQUAL
    found = search([strangers[0]] * n, np.zeros(n, int))
    assert np.count_nonzero(found.kept) == 1
    assert len(found.copies.i) == sum(min(k, MOST_EQUAL) for k in range(n))
    assert found.copies.exact.all()


def test_texts_and_no_rows_at_all_are_answered(strangers):
    blind = np.arange(3) > 0
    blank = np.zeros_like(strangers[0])
    found = search([strangers[0], blank, blank], np.array([0, 1, 1]), blind=blind)
    assert found.kept.tolist() == [True, True, False]
    none = find_verified_duplicates(np.empty(0, int), np.empty((0, 243), np.uint16), np.empty((0, 32, 32), np.uint8))
    assert len(none.kept) == len(none.copies.i) == 0
