"""The gradient feature: unit rows, exact products, mirrors, blank images, and the threshold that rises."""

from __future__ import annotations

import numpy as np
import pytest

from espalier.core.dedup.near import (
    DEFAULT_THRESHOLD,
    auto_threshold,
    find_duplicates,
    gradient_features,
    mirror_features,
)
from espalier.core.dedup.near.features import DIMENSION, STEP
from espalier.core.rng import generator


def grids(n, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (n, 243), dtype=np.uint16)


def flat(*colours):
    """Images of one colour each, given as (r, g, b) of 0..255."""
    return np.array([np.tile(np.array(c) * 257, 81) for c in colours], np.uint16)


def test_rows_have_unit_norm_and_are_never_nan():
    mixed = np.concatenate([grids(50), flat((0, 0, 0), (255, 255, 255), (3, 200, 90))])
    features = gradient_features(mixed)
    assert (features.shape, features.dtype) == ((53, DIMENSION), np.float32)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-3)


def test_products_are_the_same_numbers_in_any_order_and_precision():
    features = gradient_features(np.concatenate([grids(200), grids(200)]))
    assert (features / np.float32(STEP) == np.rint(features / np.float32(STEP))).all()
    whole = features @ features.T
    np.testing.assert_array_equal(whole, features.astype(np.float64) @ features.T.astype(np.float64))
    shuffled = np.random.default_rng(0).permutation(DIMENSION)
    np.testing.assert_array_equal(features[:7, shuffled] @ features[:, shuffled].T, whole[:7])


def test_features_do_not_depend_on_the_batch():
    many = grids(300)
    np.testing.assert_array_equal(gradient_features(many)[7:9], gradient_features(many[7:9]))


def test_the_mirrored_feature_is_that_of_the_mirrored_grid():
    some = np.concatenate([grids(20), flat((9, 9, 9))])
    turned = np.ascontiguousarray(some.reshape(-1, 9, 9, 3)[:, :, ::-1]).reshape(-1, 243)
    np.testing.assert_allclose(mirror_features(gradient_features(some)), gradient_features(turned), atol=2 * STEP)
    features = gradient_features(some)
    np.testing.assert_array_equal(mirror_features(mirror_features(features)), features)
    np.testing.assert_array_equal(mirror_features(features) @ features.T, features @ mirror_features(features).T)


def test_blank_images_are_copies_only_when_their_colours_are_equal():
    """The bare gradient is zero for all of them: no direction, NaN after division, or all the same."""
    colours = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (128, 128, 140), (200, 30, 30), (30, 200, 30)]
    blank = flat(*colours, *[np.clip(np.array(c) + 1, 0, 255) for c in colours])
    found = find_duplicates(np.arange(12), blank, threshold=DEFAULT_THRESHOLD)
    assert found.kept.tolist() == [True] * 6 + [False] * 6
    assert found.duplicate_of[6:].tolist() == [0, 1, 2, 3, 4, 5]


def test_thousand_blank_images_of_other_colours_all_stay():
    levels = np.arange(0, 250, 28)
    colours = np.array(np.meshgrid(levels, levels, levels)).reshape(3, -1).T
    assert find_duplicates(np.arange(len(colours)), flat(*colours), threshold=DEFAULT_THRESHOLD).kept.all()


def test_noise_on_a_blank_image_does_not_make_a_stranger_of_it():
    rng = np.random.default_rng(0)
    base = flat((120, 130, 140)).astype(int)
    noisy = np.clip(base + rng.normal(0, 60, (6, 243)), 0, 65535).astype(np.uint16)  # a quarter of a grey level
    assert find_duplicates(np.arange(6), noisy, threshold=DEFAULT_THRESHOLD).kept.sum() == 1


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match="243"):
        gradient_features(np.zeros((3, 242), np.uint16))
    with pytest.raises(ValueError, match="uint16"):
        gradient_features(np.zeros((3, 243), np.float32))


def test_the_automatic_threshold_is_the_default_for_unlike_images_and_with_many_copies():
    some = grids(300)
    rng = generator(0)
    assert auto_threshold(gradient_features(some), rng=rng) == DEFAULT_THRESHOLD
    third = np.concatenate([np.repeat(some[:3], 20, axis=0), some[3:43]])  # 17 % of all pairs are copies
    assert auto_threshold(gradient_features(third), rng=rng) < DEFAULT_THRESHOLD + 0.05
    assert auto_threshold(gradient_features(some[:1]), rng=rng) == DEFAULT_THRESHOLD


def test_the_automatic_threshold_rises_where_all_images_are_aligned_alike():
    """Digits and X-rays: strangers share most of their gradients, and a fixed threshold would drop nearly all."""
    rng = np.random.default_rng(0)
    common = rng.integers(0, 65536, 243)
    alike = np.clip(common + rng.normal(0, 9000, (400, 243)), 0, 65535).astype(np.uint16)
    assert (~find_duplicates(np.arange(400), alike, threshold=DEFAULT_THRESHOLD).kept).sum() > 300
    found = find_duplicates(np.arange(400), alike)
    assert found.threshold > 0.85
    assert found.kept.all()
