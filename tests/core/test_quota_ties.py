"""Quotas against an oracle in fractions, on every small case: what is equal exactly goes to the lower index."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from espalier.core.prune import Clusters, Density
from espalier.core.quota import density_quota, largest_remainder, projected
from espalier.core.rng import generator


def shares_on_the_line(base, slope, target, lower, upper):
    """``clip(base + t * slope, lower, upper)`` at the t where it sums to the target, between two breakpoints."""

    def at(t):
        return [min(max(b + t * s, low), high) for b, s, low, high in zip(base, slope, lower, upper, strict=True)]

    breaks = sorted({(end - b) / s for b, s, *ends in zip(base, slope, lower, upper, strict=True) if s for end in ends})
    if not breaks or sum(at(breaks[0])) == target:
        return at(breaks[0]) if breaks else at(Fraction(0))
    right = next(place for place, t in enumerate(breaks) if sum(at(t)) >= target)
    before, after = at(breaks[right - 1]), at(breaks[right])
    part = (target - sum(before)) / Fraction(sum(after) - sum(before))
    return [a + part * (b - a) for a, b in zip(before, after, strict=True)]


def rounded(shares, target):
    quota = [share.__floor__() for share in shares]
    order = sorted(range(len(shares)), key=lambda i: (quota[i] - shares[i], i))
    for place in order[: target - sum(quota)]:
        quota[place] += 1
    return quota


def proportional(weights, target, lower, upper):
    weights, nought = [Fraction(w) for w in weights], [Fraction(0)] * len(weights)
    reachable = [high if w else low for w, low, high in zip(weights, lower, upper, strict=True)]
    if target > sum(reachable):
        shares = shares_on_the_line(nought, [Fraction(not w) for w in weights], target, reachable, upper)
    else:
        shares = shares_on_the_line(nought, weights, target, lower, upper)
    return rounded(shares, target)


def nearest(wishes, target, lower, upper):
    wishes = [Fraction(w) for w in wishes]
    return rounded(shares_on_the_line(wishes, [Fraction(1)] * len(wishes), target, lower, upper), target)


def differing(cases, ours, oracle):
    return [case for case in cases if ours(*case).tolist() != oracle(*case)]


def sizes(k, most):
    return itertools.product(range(most + 1), repeat=k)


def bounded(rows, bounds):
    """Every row with bounds from ``bounds`` for each entry, and every target that these admit."""
    for row in rows:
        for pairs in itertools.product(bounds, repeat=len(row)):
            lower, upper = zip(*pairs, strict=True)
            for target in range(sum(lower), sum(upper) + 1):
                yield row, target, lower, upper


def test_exact_halves_go_to_the_lower_index():
    assert largest_remainder([3, 5], 4, upper=[3, 5]).tolist() == [2, 2]
    assert largest_remainder([0.75, 1.25], 4).tolist() == [2, 2]
    assert projected([1.5, 2.5], 4).tolist() == [2, 2]


@pytest.mark.parametrize(("k", "most"), [(2, 12), (3, 7), (4, 3)])
def test_shares_by_size_are_those_of_the_oracle_in_every_small_case(k, most):
    cases = [
        (size, target, (0,) * k, size) for size in sizes(k, most) for target in range(sum(size) + 1) if sum(size) > 0
    ]
    assert not differing(cases, largest_remainder, proportional)


@pytest.mark.parametrize(
    ("rows", "bounds"),
    [
        (list(itertools.product(range(6), repeat=2)), [(0, 1), (0, 3), (1, 4), (2, 2), (0, 7)]),
        (list(itertools.product((0, 1, 3), repeat=3)), [(0, 1), (1, 3), (0, 5)]),
    ],
)
def test_weights_within_bounds_are_those_of_the_oracle_in_every_small_case(rows, bounds):
    assert not differing(bounded(rows, bounds), largest_remainder, proportional)


@pytest.mark.parametrize(
    ("rows", "bounds"),
    [
        (list(itertools.product(np.arange(-1, 7) / 2, repeat=2)), [(0, 1), (0, 3), (1, 4), (2, 2), (0, 7)]),
        (list(itertools.product((-0.5, 0.25, 1.0), repeat=3)), [(0, 1), (1, 3), (0, 5)]),
    ],
)
def test_projections_are_those_of_the_oracle_in_every_small_case(rows, bounds):
    assert not differing(bounded(rows, bounds), projected, nearest)


@pytest.mark.parametrize("seed", range(40))
def test_quotas_of_any_numbers_are_those_of_the_oracle(seed):
    """Weights and wishes of every kind: whole, halves, any, equal but for the last bit, of very uneven size."""
    rng = generator(seed, "quota ties")
    for _ in range(25):
        k = int(rng.integers(1, 9))
        lower = rng.integers(0, 3, k)
        upper = lower + rng.integers(0, 2 ** int(rng.integers(1, 12)), k)
        target = int(rng.integers(lower.sum(), upper.sum() + 1))
        kinds = [
            rng.integers(0, 50, k).astype(float),
            rng.integers(0, 9, k) / 2,
            rng.choice([0.3, 0.5, 0.1, 1.7], k),
            rng.random(k) * 10.0 ** int(rng.integers(-6, 7)),
            1.0 + rng.integers(0, 3, k) * 2.0**-52,
            10.0 ** rng.integers(-40, 40, k).astype(float),
        ]
        for row in kinds:
            case = row, target, lower.tolist(), upper.tolist()
            assert largest_remainder(*case).tolist() == proportional(*case), case
            assert projected(*case).tolist() == nearest(*case), case


def test_density_by_size_settles_its_ties_exactly():
    """The wishes are target * size / n, mostly no binary fraction: 4 / 3 and 7 / 3 have equal remainders."""
    for size in sizes(3, 6):
        n, alive = sum(size), [s for s in size if s]
        clusters = Clusters(np.empty(0, np.int32), np.empty(0, np.float32), np.array(size))
        for target in range(n + 1):
            wishes = [Fraction(target * s, n) for s in alive]
            lower = [1 if target >= len(alive) else 0] * len(alive)
            expected = iter(nearest(wishes, target, lower, alive))
            quota = Density(by="size", cls_bal_ratio=0.0).quota(clusters, target)
            assert quota.tolist() == [next(expected) if s else 0 for s in size], (size, target)


def test_equally_complex_clusters_differ_by_one_at_most_and_the_lower_index_has_more():
    quota = density_quota(np.full(7, 0.3), np.full(7, 50), 101, cls_bal_ratio=0.0)
    assert quota.tolist() == [15, 15, 15, 14, 14, 14, 14]


@pytest.mark.parametrize("k", [1_000, 30_000])
def test_many_ties_at_once_are_settled_exactly(k):
    """Half of the samples: every cluster of odd size ties at a half."""
    size = 1 + generator(0, "many ties", k).integers(0, 2_000, k)
    size[0] += size.sum() % 2
    target = int(size.sum()) // 2
    quota = largest_remainder(size, target, upper=size)
    odd = np.flatnonzero(size % 2)
    expected = size // 2
    expected[odd[: target - expected.sum()]] += 1
    np.testing.assert_array_equal(quota, expected)


def test_the_given_numbers_are_left_as_they_are_whatever_their_type():
    weights, upper = np.array([3.0, 5.0, 1e-250]), np.array([3, 5, 9])
    for target in (4, np.int64(4), np.int32(4), 4.0):
        assert largest_remainder(weights, target, upper=upper).tolist() == [2, 2, 0]
        assert projected(weights[:2] / 2, target).tolist() == [2, 2]
    assert weights.tolist() == [3.0, 5.0, 1e-250]


def test_numbers_beyond_64_bits_are_settled_too():
    size = np.array([3, 5, 3, 5]) * 10**9
    target = 8 * 10**9 + 2
    assert largest_remainder(size, target, upper=size).tolist() == proportional(
        size.tolist(), target, [0] * 4, size.tolist()
    )
    assert projected(size * 1e-3, 10**10 + 1, 0, size).tolist() == nearest(
        (size * 1e-3).tolist(), 10**10 + 1, [0] * 4, size.tolist()
    )
