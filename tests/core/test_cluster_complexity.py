"""Complexity, label entropy and extreme rows of clusters, each against a plain loop."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.complexity import cluster_complexity, extreme_rows, label_entropy
from espalier.core.errors import EspalierError
from espalier.core.rng import generator


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clusters(n, k, d=8, seed=0):
    rng = generator(seed, "clusters")
    distance = np.round(rng.uniform(0, 1, n), 1).astype(np.float32)  # rounded: plenty of ties
    return unit(rng.normal(size=(k, d))), rng.integers(0, k, n).astype(np.int32), distance


def looped_complexity(centroids, assignment, distance, n_neighbors):
    d_intra, d_inter = [], []
    for c, centroid in enumerate(centroids.astype(np.float64)):
        own = [float(x) for x, a in zip(distance, assignment, strict=True) if a == c]
        d_intra.append(sum(own) / len(own) if own else 0.0)
        others = sorted(1 - float(other @ centroid) for i, other in enumerate(centroids.astype(np.float64)) if i != c)
        near = others[:n_neighbors]
        d_inter.append(sum(near) / len(near) if near else 0.0)
    return np.array(d_intra), np.array(d_inter)


@given(st.integers(0, 60), st.integers(1, 40), st.integers(1, 50), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_complexity_is_that_of_the_plain_loop(n, k, n_neighbors, seed):
    centroids, assignment, distance = clusters(n, k, seed=seed)
    found = cluster_complexity(centroids, assignment, distance, n_neighbors)
    d_intra, d_inter = looped_complexity(centroids, assignment, distance, n_neighbors)
    np.testing.assert_allclose(found.d_intra, d_intra, atol=1e-6)
    np.testing.assert_allclose(found.d_inter, d_inter, atol=1e-6)
    np.testing.assert_array_equal(found.complexity, found.d_intra * found.d_inter)
    np.testing.assert_array_equal(found.size, np.bincount(assignment, minlength=k))
    assert found.n_neighbors == min(n_neighbors, k - 1)


def test_fewer_clusters_than_neighbours_give_finite_distances():
    """The released code asks the index for more neighbours than there are and gets an infinite d_inter at k <= 20."""
    for k in (2, 3, 20, 21):
        found = cluster_complexity(*clusters(100, k))
        assert np.isfinite(found.d_inter).all()
        assert (found.d_inter <= 2).all()
        assert found.n_neighbors == min(20, k - 1)


def test_a_single_cluster_has_no_neighbours_and_no_complexity():
    found = cluster_complexity(*clusters(10, 1))
    assert found.d_inter.tolist() == [0.0]
    assert found.complexity.tolist() == [0.0]
    assert found.n_neighbors == 0


def test_three_centroids_by_hand():
    centroids = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = cluster_complexity(
        centroids, np.array([0, 0, 1, 2]), np.array([0.1, 0.3, 0.5, 0.0], np.float32), n_neighbors=2
    )
    np.testing.assert_allclose(found.d_intra, [0.2, 0.5, 0.0], atol=1e-7)
    np.testing.assert_allclose(found.d_inter, [1.5, 1.0, 1.5])


def test_equal_centroids_are_neighbours_at_distance_zero():
    centroids = np.repeat(clusters(0, 2)[0], 15, axis=0)
    found = cluster_complexity(centroids, np.arange(30), np.full(30, 0.5, np.float32), n_neighbors=14)
    np.testing.assert_allclose(found.d_inter, 0, atol=1e-6)


def test_blocks_of_another_size_change_no_bit(monkeypatch):
    centroids, assignment, distance = clusters(500, 300, 33)
    whole = cluster_complexity(centroids, assignment, distance)
    monkeypatch.setattr("espalier.core.complexity.BLOCK_CELLS", 1000)
    assert cluster_complexity(centroids, assignment, distance).d_inter.tobytes() == whole.d_inter.tobytes()


PROGRAM = """
import hashlib
import numpy as np
from espalier.core.complexity import cluster_complexity
from espalier.core.rng import generator

rows = generator(0).normal(size=(700, 130))
rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
found = cluster_complexity(rows, np.arange(700), np.full(700, 0.5, np.float32))
print(hashlib.sha256(found.complexity.tobytes()).hexdigest())
"""


def test_one_thread_or_two_give_the_same_bits():
    hashes = set()
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", PROGRAM]
        hashes.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("assignment", "distance", "n_neighbors", "message"),
    [([0, 1], [0.1], 20, "2 assignments"), ([0, 9], [0.1, 0.1], 20, r"outside 0\.\.2"), ([0], [0.1], 0, "at least 1")],
)
def test_wrong_input_is_refused(assignment, distance, n_neighbors, message):
    with pytest.raises(EspalierError, match=message):
        cluster_complexity(clusters(0, 3)[0], np.array(assignment), np.array(distance), n_neighbors)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 5), max_size=3)), max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_label_entropy_counts_every_label_of_every_row(rows):
    assignment = np.array([a for a, _ in rows], np.int32)
    indptr = np.cumsum([0] + [len(codes) for _, codes in rows])
    codes = np.array([c for _, labels in rows for c in labels], np.int32)
    found = label_entropy(assignment, 5, indptr, codes)
    for cluster in range(5):
        counts = Counter(c for a, labels in rows if a == cluster for c in labels)
        total = sum(counts.values())
        if not total:
            assert math.isnan(found[cluster])
        else:
            expected = -sum(c / total * math.log2(c / total) for c in counts.values())
            assert found[cluster] == pytest.approx(expected, abs=1e-12)


def test_label_entropy_by_hand():
    found = label_entropy(np.array([0, 0, 1, 2]), 4, np.array([0, 1, 2, 4, 4]), np.array([3, 7, 3, 3]))
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan, np.nan])


@given(st.integers(0, 60), st.integers(1, 8), st.integers(0, 7), st.booleans(), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_extreme_rows_are_those_of_a_plain_sort_with_ties_by_row(n, k, count, hardest, seed):
    _, assignment, distance = clusters(n, k, seed=seed)
    indptr, rows = extreme_rows(assignment, distance, k, count, hardest=hardest)
    assert len(indptr) == k + 1
    assert indptr[-1] == len(rows)
    sign = -1 if hardest else 1
    for c in range(k):
        members = sorted((sign * float(distance[i]), i) for i in range(n) if assignment[i] == c)
        assert rows[indptr[c] : indptr[c + 1]].tolist() == [i for _, i in members[:count]]
