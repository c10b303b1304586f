"""Spherical k-means: against brute force, its invariants, and the same bits whatever the threads or blocks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.kmeans import assign, auto_k, fit_kmeans
from espalier.core.kmeans.batches import draw_in_batches
from espalier.core.kmeans.lloyd import Lloyd
from espalier.core.kmeans.pruned import nearest_pruned
from espalier.core.kmeans.repair import fill_empty
from espalier.core.kmeans.rows import own_cosine
from espalier.core.kmeans.search import nearest
from espalier.core.kmeans.seeding import fixed_point, kmeans_plusplus
from espalier.core.kmeans.starts import drawn_start
from espalier.core.kmeans.sums import ClusterSums
from espalier.core.kmeans.swaps import improve
from espalier.core.rng import generator


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def scattered(n, d, seed=0):
    return unit(generator(seed, "scattered").normal(size=(n, d)))


def planted(n, d, groups, spread=1.0, seed=0):
    """Unit rows around ``groups`` directions, of uneven size; returns rows and the group of each."""
    rng = generator(seed, "planted")
    group = rng.choice(groups, n, p=rng.dirichlet(np.full(groups, 2.0)))
    middles = unit(rng.normal(size=(groups, d)))
    return unit(middles[group] + spread / np.sqrt(d) * rng.normal(size=(n, d))), group


def exact_cosines(rows, centroids):
    return rows.astype(np.float64) @ centroids.astype(np.float64).T


def plain_lloyd(rows, centroids, rounds):
    """The textbook rounds in double precision, no bounds, no repair."""
    centroids = centroids.astype(np.float64)
    for _ in range(rounds):
        label = exact_cosines(rows, centroids).argmax(axis=1)
        for c in range(len(centroids)):
            total = rows[label == c].astype(np.float64).sum(axis=0)
            centroids[c] = total / np.linalg.norm(total)
    return centroids, exact_cosines(rows, centroids).argmax(axis=1)


# assign


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 24), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_assignment_is_the_brute_force_nearest_centroid(n, k, d, seed):
    rows, centroids = scattered(n, d, seed), scattered(k, d, seed + 1000)
    label, distance = assign(rows, centroids)
    cosine = exact_cosines(rows, centroids)
    np.testing.assert_allclose(cosine[np.arange(n), label], cosine.max(axis=1), atol=1e-12)
    np.testing.assert_allclose(distance, 1 - cosine.max(axis=1), atol=1e-6)
    assert label.dtype == np.int32
    assert distance.dtype == np.float32


def test_equally_near_centroids_go_to_the_lower_index():
    centroids = np.repeat(scattered(5, 16), 4, axis=0)
    label, distance = assign(scattered(300, 16, 1), centroids)
    assert (label % 4 == 0).all()
    label, distance = assign(centroids, centroids)
    np.testing.assert_array_equal(label, np.arange(20) // 4 * 4)
    assert (distance < 1e-6).all()


def test_centroids_closer_than_float32_can_tell_are_told_apart():
    """A product in float32 errs by 1e-7, as much as the cosines to these centroids differ."""
    rows = scattered(300, 256)
    centroids = unit(scattered(1, 256, 1) + 1e-6 * scattered(50, 256, 2))
    label, _ = assign(rows, centroids)
    cosine = exact_cosines(rows, centroids)
    assert (cosine.argmax(axis=1) != (rows @ centroids.T).argmax(axis=1)).any()
    np.testing.assert_allclose(cosine[np.arange(300), label], cosine.max(axis=1), atol=1e-15)


@pytest.mark.parametrize("block_rows", [1, 3, 64, 1000])
def test_the_block_size_changes_no_bit_of_an_assignment(block_rows):
    rows, _ = planted(700, 33, 10)
    centroids = np.concatenate([rows[:40], rows[:40]])
    label, distance = assign(rows, centroids)
    again, same = assign(rows, centroids, block_rows=block_rows)
    np.testing.assert_array_equal(label, again)
    assert distance.tobytes() == same.tobytes()


def test_more_centroids_than_a_tile_holds_are_all_searched(monkeypatch):
    rows, centroids = scattered(50, 8), scattered(70, 8, 1)
    expected = nearest(rows, centroids)
    monkeypatch.setattr("espalier.core.kmeans.search.TILE_CENTROIDS", 16)
    found = nearest(rows, centroids)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.second, expected.second, atol=1e-6)


def test_second_is_the_greatest_cosine_to_any_other_centroid():
    rows, centroids = scattered(50, 8), scattered(7, 8, 1)
    ranked = np.sort(exact_cosines(rows, centroids), axis=1)
    np.testing.assert_allclose(nearest(rows, centroids).second, ranked[:, -2], atol=1e-6)
    assert (nearest(rows, centroids[:1]).second == -np.inf).all()


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_pruned_search_finds_what_the_plain_one_finds(spread, monkeypatch):
    monkeypatch.setattr("espalier.core.kmeans.pruned.ENERGY", 0.5)
    rows, group = planted(3000, 128, 12, spread)
    centroids = rows[np.argsort(group, kind="stable")][::4]
    expected = nearest(rows, centroids)
    poor = nearest(rows, centroids[::3]).cosine
    for known in (expected.cosine, poor):
        found = nearest_pruned(rows, centroids, known)
        np.testing.assert_array_equal(found.index, expected.index)
        assert (found.second >= expected.second - 1e-6).all()


def test_the_pruned_search_leaves_most_stretches_out(monkeypatch):
    rows, group = planted(3000, 128, 12, 0.5)
    centroids = rows[np.argsort(group, kind="stable")][::2]
    seen = []
    real = nearest_pruned.__globals__["_search"]
    monkeypatch.setattr("espalier.core.kmeans.pruned._search", lambda *a: (seen.append(a[2].mean()), real(*a))[1])
    nearest_pruned(rows, centroids, nearest(rows, centroids).cosine)
    assert seen
    assert max(seen) < 0.3


# k-means


@pytest.mark.parametrize("k", [1, 2, 7, 30])
def test_bounds_and_moving_sums_give_what_the_textbook_rounds_give(k):
    rows, _ = planted(900, 24, 12)
    start = rows[:: 900 // k][:k]
    ours = fit_kmeans(rows, k, rng=generator(0), init=start, max_iter=6, tol=-1.0)
    centroids, label = plain_lloyd(rows, start, ours.n_iter)
    np.testing.assert_array_equal(ours.assignment, label)
    np.testing.assert_allclose(ours.centroids, centroids, atol=1e-5)


@given(st.integers(1, 120), st.integers(1, 150), st.integers(2, 12), st.integers(0, 99), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_row_is_at_its_nearest_centroid_and_every_centroid_has_a_row(n, k, d, seed, repeated):
    rows = scattered(n, d, seed)
    if repeated:
        rows = rows[generator(seed, "repeat").integers(0, max(1, n // 3), n)]
    result = fit_kmeans(rows, k, rng=generator(seed, "fit"))
    label, distance = assign(rows, result.centroids)
    np.testing.assert_array_equal(result.assignment, label)
    assert result.distance.tobytes() == distance.tobytes()
    assert (np.bincount(label, minlength=result.k) > 0).all()
    assert result.k <= min(n, k)
    assert result.k_asked == k
    assert result.n_trained == n
    np.testing.assert_allclose(np.linalg.norm(result.centroids, axis=1), 1, atol=1e-5)
    assert result.mean_cosine == pytest.approx(1 - result.distance.mean(), abs=1e-5)


@given(st.integers(1, 80), st.integers(1, 60), st.integers(2, 6), st.integers(0, 6), st.integers(0, 999))
@settings(max_examples=150, deadline=None)
def test_starts_far_from_the_rows_leave_no_cluster_empty_and_no_row_misplaced(n, k, d, max_iter, seed):
    """Empty clusters take rows from others between the rounds."""
    rows, start = scattered(n, d, seed), scattered(k, d, seed + 1000)
    result = fit_kmeans(rows, k, rng=generator(seed), init=start, max_iter=max_iter, tol=0.0)
    np.testing.assert_array_equal(result.assignment, assign(rows, result.centroids)[0])
    assert (np.bincount(result.assignment, minlength=result.k) > 0).all()
    alike = np.triu(rows @ rows.T >= 1 - 1e-7, 1).any(axis=0).sum()  # rows that float32 products cannot tell apart
    assert min(n - alike, k) <= result.k <= min(n, k)


def test_a_converged_centroid_is_the_direction_of_its_rows_sum():
    rows, _ = planted(600, 16, 6)
    result = fit_kmeans(rows, 6, rng=generator(1), max_iter=100, tol=0.0)
    assert result.converged
    for c in range(result.k):
        total = rows[result.assignment == c].sum(axis=0)
        np.testing.assert_allclose(result.centroids[c], total / np.linalg.norm(total), atol=1e-5)


def test_planted_groups_are_found_whatever_the_seed():
    """From random starts k-means leaves several groups merged; draws, swaps and rounds together find all of them."""
    for seed in range(5):
        rows, group = planted(4000, 64, 40, 1.0, seed)
        result = fit_kmeans(rows, 40, rng=generator(seed, "fit"))
        pure = np.mean([np.bincount(group[result.assignment == c]).max() for c in range(result.k)]) * result.k
        assert pure / len(rows) > 0.97


def test_mean_cosine_is_at_least_that_of_scikit_learn():
    sklearn_cluster = pytest.importorskip("sklearn.cluster")
    rows, _ = planted(3000, 64, 60)
    peer = sklearn_cluster.KMeans(60, n_init=1, random_state=0).fit(rows)
    reached = exact_cosines(rows, unit(peer.cluster_centers_)).max(axis=1).mean()
    assert fit_kmeans(rows, 60, rng=generator(0)).mean_cosine > 0.995 * reached


def test_very_many_clusters_come_as_near_as_scikit_learn(monkeypatch):
    sklearn_cluster = pytest.importorskip("sklearn.cluster")
    monkeypatch.setattr("espalier.core.kmeans.fit.HUGE", 100)
    rows, _ = planted(1500, 64, 30)
    peer = sklearn_cluster.KMeans(450, n_init=1, random_state=0).fit(rows)
    reached = exact_cosines(rows, unit(peer.cluster_centers_)).max(axis=1).mean()
    ours = fit_kmeans(rows, 450, rng=generator(0))
    assert ours.k == 450
    assert ours.mean_cosine > 0.995 * reached


def test_more_clusters_than_rows_or_distinct_rows_are_reduced_and_reported():
    rows = scattered(10, 8)
    result = fit_kmeans(rows, 50, rng=generator(0))
    assert (result.k, result.k_asked) == (10, 50)
    assert (result.distance < 1e-6).all()
    repeated = fit_kmeans(np.repeat(rows[:3], 20, axis=0), 12, rng=generator(0))
    assert repeated.k == 3
    assert fit_kmeans(np.repeat(rows[:3], 700, axis=0), 1500, rng=generator(0)).k == 3


def test_one_row_makes_one_cluster():
    result = fit_kmeans(scattered(1, 8), 1, rng=generator(0))
    assert (result.k, result.assignment.tolist(), result.distance.tolist()) == (1, [0], [0.0])


def test_rows_that_cancel_out_leave_a_usable_centroid():
    rows = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    result = fit_kmeans(rows, 1, rng=generator(0))
    np.testing.assert_allclose(np.linalg.norm(result.centroids, axis=1), 1)


def test_a_warm_start_keeps_the_order_of_its_centroids():
    rows, group = planted(800, 32, 5, 0.5)
    start = unit(np.stack([rows[group == g][0] for g in range(5)]))
    np.testing.assert_array_equal(fit_kmeans(rows, 5, rng=generator(0), init=start).assignment, group)


def test_a_warm_start_without_rounds_only_assigns():
    rows, start = scattered(100, 8), scattered(4, 8, 1)
    result = fit_kmeans(rows, 4, rng=generator(0), init=start, max_iter=0)
    np.testing.assert_array_equal(result.centroids, start)
    np.testing.assert_array_equal(result.assignment, assign(rows, start)[0])
    assert (result.n_iter, result.converged) == (0, False)


def test_an_empty_cluster_is_given_a_row_of_its_own():
    rows, _ = planted(200, 16, 4, 0.3)
    start = np.concatenate([rows[:3], -rows[:1], -rows[:1]])
    result = fit_kmeans(rows, 5, rng=generator(0), init=start)
    assert result.n_repaired >= 1
    assert result.k == 5
    assert (np.bincount(result.assignment) > 0).all()


def test_an_empty_cluster_never_takes_the_last_row_of_another():
    rows = scattered(6, 8)
    centroids = np.concatenate([rows[:3], -rows[:3]])
    label = np.array([0, 1, 2, 2, 2, 2], np.int32)
    chosen, filled = fill_empty(rows, centroids, label, np.bincount(label, minlength=6))
    assert set(chosen.tolist()) <= {2, 3, 4, 5}
    np.testing.assert_array_equal(filled, [3, 4, 5])
    distance = 1 - own_cosine(rows, centroids, label)
    assert (np.diff(distance[chosen]) <= 0).all()


def test_training_on_a_sample_is_said_and_all_rows_are_assigned():
    rows, _ = planted(2000, 16, 8)
    result = fit_kmeans(rows, 8, rng=generator(0), train_rows=500)
    assert result.n_trained == 500
    np.testing.assert_array_equal(result.assignment, assign(rows, result.centroids)[0])
    assert fit_kmeans(rows, 8, rng=generator(0), train_rows=5000).n_trained == 2000


def test_progress_is_told_once_a_round():
    told = []
    result = fit_kmeans(planted(500, 16, 8)[0], 8, rng=generator(0), progress=told.append)
    assert sum(told) == result.n_iter


# the parts


def test_swaps_move_a_centroid_to_the_group_that_has_none():
    middles = np.eye(20, 64)
    middles[19, 0] = 0.75  # the group without a centroid lies beside group 0 and shares its centroid for good
    group = np.repeat(np.arange(20), 100)
    rows = unit(unit(middles)[group] + 0.04 * generator(0).normal(size=(2000, 64)))
    crowded = rows[[0, 100, 101, *range(200, 1900, 100)]]
    stuck = Lloyd(rows, crowded)
    stuck.run(20, 0.0)
    better = Lloyd(rows, improve(rows, crowded, rounds=5, max_iter=20, tol=1e-6))
    assert len(np.unique(stuck.assignment[group == 1])) == 2
    np.testing.assert_array_equal(np.bincount(better.assignment), 100)
    assert len(np.unique(better.assignment[group == 1])) == 1


def test_sums_are_the_same_bits_in_any_order_and_rows_can_be_taken_out_again():
    rows, group = planted(5000, 20, 9)
    forward, backward = ClusterSums(9, 20), ClusterSums(9, 20)
    forward.add(rows, np.arange(5000), group)
    backward.add(rows, np.arange(5000)[::-1], group[::-1])
    assert forward.total.tobytes() == backward.total.tobytes()
    backward.add(rows, np.arange(0, 5000, 2), group[::2], -1)
    odd = ClusterSums(9, 20)
    odd.add(rows, np.arange(1, 5000, 2), group[1::2])
    np.testing.assert_array_equal(odd.total, backward.total)
    np.testing.assert_array_equal(odd.size, np.bincount(group[1::2], minlength=9))


@pytest.mark.parametrize("d", [1, 3, 512, 4096])
def test_fixed_point_products_are_whole_numbers_that_float32_holds_exactly(d):
    rows = fixed_point(scattered(60, d))
    as_int = rows.astype(np.int64)
    np.testing.assert_array_equal(rows @ rows.T, as_int @ as_int.T)
    np.testing.assert_array_equal(rows, as_int)
    assert np.abs(as_int).astype(np.int64).dot(np.abs(as_int).T).max() < 2**24 * np.sqrt(d)
    assert (as_int @ as_int.T).max() < 2**24


@pytest.mark.parametrize("draw", [kmeans_plusplus, lambda rows, k, rng: draw_in_batches(rows, k, rng)[0]])
def test_starts_are_distinct_rows_and_prefer_the_far(draw):
    rows, group = planted(600, 32, 6, 0.1)
    rows = rows if draw is not kmeans_plusplus else fixed_point(rows)
    chosen = draw(rows, 48, generator(0))
    assert len(np.unique(chosen)) == 48
    assert len(np.unique(group[chosen])) == 6


def test_greedy_draws_hit_each_of_well_parted_groups_once():
    rows, group = planted(600, 32, 12, 0.05)
    for seed in range(10):
        assert len(np.unique(group[kmeans_plusplus(fixed_point(rows), 12, generator(seed))])) == 12


def test_the_table_of_distances_changes_no_draw(monkeypatch):
    rows = fixed_point(scattered(300, 16))
    with_table = kmeans_plusplus(rows, 100, generator(0))
    monkeypatch.setattr("espalier.core.kmeans.seeding.TABLE_ROWS", 0)
    np.testing.assert_array_equal(with_table, kmeans_plusplus(rows, 100, generator(0)))


def test_batched_draws_know_the_nearest_start_of_each_row():
    rows = scattered(900, 16)
    chosen, label = draw_in_batches(rows, 200, generator(0))
    cosine = exact_cosines(rows, rows[chosen])
    np.testing.assert_allclose(cosine[np.arange(900), label], cosine.max(axis=1), atol=1e-3)
    np.testing.assert_array_equal(label[chosen], np.arange(200))


# wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.empty((0, 4), np.float32)}, "no rows"),
        ({"vectors": 2 * scattered(5, 4)}, "row 0 has norm 2"),
        ({"vectors": np.full((5, 4), np.nan, np.float32)}, "row 0 has norm nan"),
        ({"vectors": np.ones(5, np.float32)}, r"shape \(n, d\)"),
        ({"k": 0}, "k = 0"),
        ({"init": "grid"}, "Unknown start 'grid'"),
        ({"init": scattered(3, 4)}, r"shape \(3, 4\), expected \(2, 4\)"),
        ({"train_rows": 0}, "train_rows = 0"),
    ],
)
def test_wrong_input_is_refused_with_what_is_wrong(change, message):
    arguments = {"vectors": scattered(5, 4), "k": 2} | change
    with pytest.raises(EspalierError, match=message):
        fit_kmeans(arguments.pop("vectors"), arguments.pop("k"), rng=generator(0), **arguments)


def test_centroids_of_another_width_are_refused():
    with pytest.raises(EspalierError, match="Cannot assign"):
        assign(scattered(5, 4), scattered(2, 3))


# repeatability

PROGRAM = """
import hashlib, sys
import numpy as np
from espalier.core.kmeans import fit_kmeans
from espalier.core.kmeans import fit
from espalier.core.rng import generator

fit.HUGE = int(sys.argv[2])
rng = generator(0, "data")
rows = rng.normal(size=(40, 77))[rng.integers(0, 40, 6000)] + 0.9 * rng.normal(size=(6000, 77))
rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
rows[3000:3500] = rows[:500]
result = fit_kmeans(rows, int(sys.argv[1]), rng=generator(7, "fit"))
print(hashlib.sha256(b"".join(a.tobytes() for a in (result.centroids, result.assignment,
result.distance))).hexdigest())
"""


@pytest.mark.parametrize(("k", "huge"), [(40, 1000), (300, 1000), (700, 500)])
def test_one_thread_or_two_and_two_processes_give_the_same_bits(k, huge):
    hashes = set()
    for threads in ("1", "2", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(k), str(huge)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(run.stdout)
    assert len(hashes) == 1


def test_blocks_of_another_size_give_the_same_bits(monkeypatch):
    rows, _ = planted(3000, 77, 30)
    first = fit_kmeans(rows, 30, rng=generator(0))
    monkeypatch.setattr("espalier.core.kmeans.search.TILE_CELLS", 1000)
    monkeypatch.setattr("espalier.core.kmeans.sums.BLOCK", 37)
    monkeypatch.setattr("espalier.core.kmeans.rows.BLOCK", 100)
    second = fit_kmeans(rows, 30, rng=generator(0))
    assert first.centroids.tobytes() == second.centroids.tobytes()
    assert first.distance.tobytes() == second.distance.tobytes()


def test_from_given_starts_the_order_of_the_rows_does_not_matter():
    rows, _ = planted(2000, 32, 10)
    start, order = rows[:10], generator(3).permutation(2000)
    straight = fit_kmeans(rows, 10, rng=generator(0), init=start)
    shuffled = fit_kmeans(rows[order], 10, rng=generator(0), init=start)
    assert straight.centroids.tobytes() == shuffled.centroids.tobytes()
    np.testing.assert_array_equal(straight.assignment[order], shuffled.assignment)


def test_another_seed_gives_another_start():
    rows = scattered(400, 16)
    one, other = (drawn_start(rows, 20, generator(seed)) for seed in (0, 1))
    assert not np.array_equal(one, other)


# auto_k


@pytest.mark.parametrize(
    ("n", "n_labels", "k"),
    [(5000, 10, 10), (5000, 0, 50), (5000, 1, 50), (1, 0, 1), (7, 10, 7), (1_000_000, 0, 500), (0, 0, 1)],
)
def test_the_number_of_clusters_follows_the_rule(n, n_labels, k):
    assert auto_k(n, n_labels) == k
