"""Coverage and redundancy against the full distance matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.evaluate import cover
from espalier.core.evaluate.cover import coverage, redundancy
from espalier.core.rng import generator


def unit(n, dim=8, seed=0):
    x = generator(seed, "unit").standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 60), seed=st.integers(0, 99), block=st.integers(1, 70), data=st.data())
def test_both_equal_the_full_matrix_for_any_block(n, seed, block, data):
    x = unit(n, seed=seed)
    kept = np.zeros(n, bool)
    kept[data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))] = True
    old, cover.BLOCK = cover.BLOCK, block
    try:
        got, again = coverage(x, kept), redundancy(x, kept)
    finally:
        cover.BLOCK = old
    full = x.astype(np.float64) @ x.T.astype(np.float64)
    distance = 1 - full[~kept][:, kept].max(axis=1, initial=-1)
    assert got.n_dropped == got.n_measured == (~kept).sum()
    assert got.radius_max == pytest.approx(distance.max(initial=0), abs=2e-6)
    assert got.radius_mean == pytest.approx(distance.mean() if len(distance) else 0, abs=2e-6)
    np.fill_diagonal(full, -np.inf)
    if kept.sum() > 1:
        assert again == pytest.approx(full[kept][:, kept].max(axis=1).mean(), abs=2e-6)
    else:
        assert np.isnan(again)


def test_three_points_by_hand():
    x = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    got = coverage(x, np.array([True, False, True]))
    assert got.radius_max == pytest.approx(0.2, abs=2e-6)
    assert redundancy(x, np.array([0, 2])) == pytest.approx(0.6, abs=2e-6)


def test_an_exact_copy_of_a_kept_sample_is_at_distance_zero():
    x = unit(5)
    x[4] = x[1]
    assert coverage(x, np.array([True, True, True, True, False])).radius_max < 1e-6


def test_keeping_everything_leaves_no_radius():
    got = coverage(unit(4), np.ones(4, bool))
    assert (got.radius_max, got.radius_mean, got.n_dropped) == (0.0, 0.0, 0)


def test_a_sample_of_rows_is_asked_for_and_reported():
    x = unit(300)
    kept = np.arange(50)
    part, whole = coverage(x, kept, max_rows=40, seed=3), coverage(x, kept)
    assert (part.n_measured, part.n_dropped) == (40, 250)
    assert part.radius_max <= whole.radius_max
    assert part == coverage(x, kept, max_rows=40, seed=3)
    assert redundancy(x, kept, max_rows=20) == pytest.approx(redundancy(x, kept), abs=0.1)


def test_progress_counts_every_dropped_sample_once():
    seen = []
    coverage(unit(30), np.arange(10), progress=seen.append)
    assert sum(seen) == 20


@pytest.mark.parametrize(
    ("vectors", "kept"),
    [
        (unit(4) * 2, np.ones(4, bool)),
        (unit(4)[0], np.ones(8, bool)),
        (np.full((4, 8), np.nan, np.float32), np.ones(4, bool)),
        (unit(4), np.zeros(4, bool)),
        (unit(4), np.ones(5, bool)),
        (unit(4), np.array([4])),
    ],
)
def test_wrong_input_is_refused(vectors, kept):
    with pytest.raises(EspalierError):
        coverage(vectors, kept)


def test_one_thread_and_several_give_the_same_figures():
    from threadpoolctl import threadpool_limits

    x, kept = unit(3000, 64), np.arange(0, 3000, 3)
    several = coverage(x, kept), redundancy(x, kept)
    with threadpool_limits(1):
        assert (coverage(x, kept), redundancy(x, kept)) == several
