"""Quotas: exact sums within bounds, against a slow projection by another route, and the originals' faults."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.quota import density_quota, largest_remainder, project, projected


@st.composite
def bounded(draw):
    """Weights, bounds and a target that the bounds admit."""
    k = draw(st.integers(1, 12))
    lower = np.array(draw(st.lists(st.integers(0, 4), min_size=k, max_size=k)))
    upper = lower + np.array(draw(st.lists(st.integers(0, 9), min_size=k, max_size=k)))
    target = draw(st.integers(int(lower.sum()), int(upper.sum())))
    weights = np.array(draw(st.lists(st.floats(0, 1e6), min_size=k, max_size=k)))
    return weights, target, lower, upper


def slow_projection(desired, target, lower, upper):
    """The same point by Dykstra's alternating projections onto the box and the plane: no root, no breakpoints."""
    x, of_box, of_plane = desired.astype(float), np.zeros(len(desired)), np.zeros(len(desired))
    for _ in range(20_000):
        y = np.clip(x + of_box, lower, upper)
        of_box = x + of_box - y
        z = y + of_plane
        z = z + (target - z.sum()) / len(z)
        of_plane = y + of_plane - z
        x = z
    return x


def brute_force_nearest(desired, target, lower, upper):
    """Smallest squared distance of any integer point within bounds and of the right sum, by trying all."""
    grid = np.stack(np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(lower, upper, strict=True)], indexing="ij"), -1)
    points = grid.reshape(-1, len(lower))
    points = points[points.sum(axis=1) == target]
    return np.square(points - desired).sum(axis=1).min()


@given(bounded())
@settings(max_examples=300, deadline=None)
def test_every_quota_sums_to_the_target_within_its_bounds(case):
    weights, target, lower, upper = case
    for quota in (largest_remainder(weights, target, lower, upper), projected(weights, target, lower, upper)):
        assert quota.sum() == target
        assert (lower <= quota).all()
        assert (quota <= upper).all()
        assert quota.dtype == np.int64


@given(bounded())
@settings(max_examples=15, deadline=None)
def test_the_projection_agrees_with_alternating_projections(case):
    weights, target, lower, upper = case
    desired = weights / 1e5
    exact = project(desired, target, lower, upper)
    assert exact.sum() == pytest.approx(target)
    np.testing.assert_allclose(exact, slow_projection(desired, target, lower, upper), atol=2e-3)


@pytest.mark.parametrize("seed", range(30))
def test_no_integer_point_within_bounds_is_nearer_to_the_wish(seed):
    rng = np.random.default_rng(seed)
    lower = rng.integers(0, 3, 4)
    upper = lower + rng.integers(0, 6, 4)
    target = int(rng.integers(lower.sum(), upper.sum() + 1))
    desired = rng.uniform(-2, 9, 4)
    quota = projected(desired, target, lower, upper)
    assert np.square(quota - desired).sum() == pytest.approx(brute_force_nearest(desired, target, lower, upper))


def test_proportional_shares_are_those_of_a_hand_count():
    np.testing.assert_array_equal(largest_remainder([5, 3, 2], 7), [4, 2, 1])  # 3.5, 2.1, 1.4
    np.testing.assert_array_equal(largest_remainder([1, 1, 8], 10, 0, [9, 9, 4]), [3, 3, 4])  # the full one steps aside
    np.testing.assert_array_equal(largest_remainder([0, 8, 2], 10, [1, 0, 0], [9, 9, 9]), [1, 7, 2])


def test_equal_remainders_go_to_the_lower_index():
    np.testing.assert_array_equal(largest_remainder(np.ones(5), 7), [2, 2, 1, 1, 1])
    np.testing.assert_array_equal(projected(np.full(5, 1.4), 7), [2, 2, 1, 1, 1])


def test_weights_of_zero_get_more_than_their_lower_bound_only_when_all_others_are_full():
    np.testing.assert_array_equal(largest_remainder([0, 0, 1], 2, 0, [3, 3, 2]), [0, 0, 2])
    np.testing.assert_array_equal(largest_remainder([0, 0, 1], 5, 0, [3, 3, 2]), [2, 1, 2])
    np.testing.assert_array_equal(largest_remainder([0, 0, 0], 4, 0, 3), [2, 1, 1])


@pytest.mark.parametrize("weights", [[1e-300, 1.0], [1e-320, 1.0], [1e300, 1e-300], [5e-324, 5e-324]])
def test_weights_of_any_magnitude_keep_the_sum(weights):
    assert largest_remainder(weights, 1000, 0, [800, 600]).sum() == 1000


def test_a_total_that_the_bounds_do_not_admit_is_refused_with_the_range():
    with pytest.raises(EspalierError, match=r"total of 9 .* allow 0 to 5"):
        largest_remainder([1, 1], 9, 0, [2, 3])
    with pytest.raises(EspalierError, match=r"total of 1 .* allow 2 to 5"):
        projected([1, 1], 1, 1, [2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -1], 1), "weight 1 is"),
        (([1, np.nan], 1), "finite"),
        (([[1, 2]], 1), "one row"),
        (([1, 1], 2, [2, 0], [1, 3]), "Quota 0 has lower bound 2 above"),
        (([1, 1], 2, [-1, 0], [1, 3]), "Quota 0 has a lower bound below 0"),
        (([1, 1], 2, 0, 1.5), "whole numbers"),
    ],
)
def test_malformed_weights_and_bounds_are_refused(arguments, message):
    with pytest.raises(EspalierError, match=message):
        largest_remainder(*arguments)


def test_no_clusters_and_nothing_to_share_give_an_empty_quota():
    assert largest_remainder([], 0).shape == (0,)
    assert projected([], 0).shape == (0,)


@given(
    st.lists(st.tuples(st.floats(0, 4), st.integers(0, 30)), min_size=1, max_size=30),
    st.floats(0, 1),
    st.sampled_from([0.01, 0.1, 0.5, 10.0]),
    st.floats(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_density_quotas_are_exact_and_keep_every_cluster_alive_where_possible(clusters, ratio, temperature, balance):
    complexity, size = np.array([c for c, _ in clusters]), np.array([s for _, s in clusters])
    target = int(ratio * size.sum())
    quota = density_quota(complexity, size, target, temperature=temperature, cls_bal_ratio=balance)
    assert quota.sum() == target
    assert (quota <= size).all()
    assert (quota >= np.minimum(int(balance * target / len(size)), size)).all()
    if target >= np.count_nonzero(size):
        assert (quota[size > 0] >= 1).all()


def test_more_complex_clusters_of_equal_size_never_get_less():
    quota = density_quota(np.linspace(0, 1, 20), np.full(20, 100), 700)
    assert (np.diff(quota) >= 0).all()
    assert quota[-1] > quota[0]


def test_a_high_temperature_is_an_even_split_and_a_low_one_fills_the_most_complex_first():
    complexity, size = np.array([0.1, 0.2, 0.3]), np.array([50, 50, 50])
    np.testing.assert_array_equal(density_quota(complexity, size, 60, temperature=1e6, cls_bal_ratio=0), [20, 20, 20])
    np.testing.assert_array_equal(density_quota(complexity, size, 60, temperature=1e-4, cls_bal_ratio=0), [5, 5, 50])


def test_a_singleton_cluster_is_never_emptied_when_it_can_be_kept():
    """The released code's lower bound is size - 1, which lets four singletons sum to 0 when two are wanted."""
    np.testing.assert_array_equal(density_quota([1, 1, 1, 1], [1, 1, 1, 1], 2), [1, 1, 0, 0])
    quota = density_quota([0.0, 5.0, 5.0], [1, 1000, 1000], 300)
    assert quota[0] == 1


@pytest.mark.parametrize("k", [10, 50, 100, 500])
def test_rounding_after_the_projection_would_miss_the_sum_and_ours_does_not(k):
    """The released code rounds each share on its own; that misses the total in nine of ten cases at k = 500."""
    rng = np.random.default_rng(k)
    misses = 0
    for _ in range(20):
        complexity, size = rng.uniform(0, 1, k), rng.integers(1, 200, k)
        target = int(0.3 * size.sum())
        share = np.exp(complexity / 0.1)
        rounded = np.rint(project(target * share / share.sum(), target, np.zeros(k), size)).sum()
        misses += rounded != target
        assert density_quota(complexity, size, target).sum() == target
    assert misses > 0


@pytest.mark.parametrize(
    ("size", "target"),
    [([10] * 10, 55), ([7] * 1000, 3500), ([1] * 20 + [80], 5), ([1] * 100, 5), ([3] * 100 + [700], 100)],
)
def test_proportional_quotas_meet_the_totals_that_datumaro_misses(size, target):
    assert largest_remainder(size, target, 0, size).sum() == target


@pytest.mark.parametrize("parameters", [{"temperature": 0.0}, {"cls_bal_ratio": 1.5}, {"temperature": float("nan")}])
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(EspalierError, match="out of range"):
        density_quota([1, 1], [5, 5], 3, **parameters)


def test_a_target_above_the_number_of_samples_is_refused():
    with pytest.raises(EspalierError, match=r"allow .* to 10"):
        density_quota([1, 1], [5, 5], 11)
