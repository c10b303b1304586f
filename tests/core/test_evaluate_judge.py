"""The verdict against random, the record behind it, and the held-out tenth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.evaluate import Evaluation, Quality, holdout, judge
from espalier.core.prune.base import Labels
from espalier.core.rng import generator


def quality(accuracy=None, radius=0.5, n_kept=10):
    return Quality(100, n_kept, radius, radius, 100 - n_kept, 100 - n_kept, probe_accuracy=accuracy)


RANDOM = [quality(0.70), quality(0.71), quality(0.72)]


def test_above_two_standard_errors_and_the_floor_it_beats_random():
    got = judge(quality(0.76), RANDOM)
    assert got.beats
    assert got.metric == "probe_accuracy"
    assert got.difference == pytest.approx(0.05)
    assert got.margin == pytest.approx(2 * 0.01 * np.sqrt(1 / 3 + 1))
    assert got.words.startswith("beats random by 5.0 points")


def test_within_the_deviation_it_does_not():
    got = judge(quality(0.73), RANDOM)
    assert not got.beats
    assert got.words.startswith("does not beat random: +2.0 points")


def test_a_tiny_gain_means_nothing_however_small_the_deviation():
    same = [quality(0.70), quality(0.70), quality(0.70)]
    assert not judge(quality(0.714), same).beats
    assert judge(quality(0.716), same).beats


def test_worse_than_random_is_said_so():
    got = judge(quality(0.60), RANDOM)
    assert not got.beats
    assert got.words.startswith("worse than random by 11.0 points")


def test_several_seeds_of_the_recipe_narrow_the_margin():
    assert judge([quality(0.73)] * 3, RANDOM).beats > judge(quality(0.73), RANDOM).beats


def test_without_labels_a_smaller_radius_wins():
    randoms = [quality(radius=r) for r in (0.50, 0.51, 0.49)]
    assert judge(quality(radius=0.40), randoms).beats
    assert judge(quality(radius=0.40), randoms).metric == "radius_mean"
    assert judge(quality(radius=0.60), randoms).words.startswith("worse than random by 20.0%")
    assert not judge(quality(radius=0.495), randoms).beats


def test_one_random_draw_is_owned_up_to():
    assert "drawn once" in judge(quality(0.9), [quality(0.7)]).words


def test_different_sizes_and_no_random_are_refused():
    with pytest.raises(EspalierError, match="size"):
        judge(quality(0.9, n_kept=11), RANDOM)
    with pytest.raises(EspalierError, match="nothing to compare"):
        judge(quality(0.9), [])


def unit(n, seed=0):
    x = generator(seed, "unit").standard_normal((n, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_a_record_gathers_all_that_can_be_measured():
    x, y = unit(200), (np.arange(200) % 4).astype(np.int32)
    test = holdout(y)
    kept = (np.arange(200) % 2 == 0)[~test]
    got = Evaluation(x[~test], y[~test], y[~test], x[test], y[test]).measure(kept)
    assert (got.n, got.n_kept, got.n_dropped) == (180, kept.sum(), (~kept).sum())
    assert got.n_measured == got.n_dropped
    assert got.classes_lost == (1, 3)
    assert got.label_divergence == got.cluster_divergence > 0
    assert got.n_test == 20
    assert got.n_train == got.n_kept
    assert None not in dataclasses.astuple(got)


def test_what_cannot_be_measured_is_none():
    got = Evaluation(unit(20)).measure(np.arange(20) < 1)
    assert got.redundancy is got.label_divergence is got.probe_accuracy is None
    x, no_labels = unit(20), np.full(20, -1)
    nothing = Evaluation(x, no_labels, test_vectors=x, test_labels=no_labels).measure(np.arange(20) < 5)
    assert nothing.probe_accuracy is nothing.knn_accuracy is None


@settings(deadline=None)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=200), st.integers(0, 5))
def test_the_held_out_share_is_exact_stratified_and_leaves_every_class_trained(codes, seed):
    y = np.array(codes)
    out = holdout(y, seed=seed)
    assert not out[y < 0].any()
    size, drawn = np.bincount(y[y >= 0], minlength=7), np.bincount(y[out], minlength=7)
    assert (drawn < np.maximum(size, 1)).all()
    assert (drawn <= np.ceil(size * 0.1) + 1).all()
    target = round(0.1 * (y >= 0).sum())
    assert out.sum() <= target
    if (size[size > 0] >= 10).all():
        assert out.sum() == target
        assert (np.abs(drawn - size * out.sum() / max(size.sum(), 1)) < 1).all()
    assert (out == holdout(y, seed=seed)).all()


def test_another_seed_draws_another_tenth():
    y = np.arange(200) % 4
    assert (holdout(y, seed=0) != holdout(y, seed=1)).any()


def test_several_labels_are_stratified_by_the_first():
    indptr = np.arange(0, 201, 2)
    labels = Labels(indptr, np.tile(np.array([1, 2], np.int32), 100), ())
    assert holdout(labels).sum() == 10


def test_a_share_out_of_range_is_refused():
    with pytest.raises(EspalierError, match="share"):
        holdout(np.zeros(10, int), share=1.0)
