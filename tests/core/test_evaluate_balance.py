"""Divergence, lost classes and the compressed rows behind them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.evaluate.codes import classes_lost, divergence, first, pairs, take
from espalier.core.prune.base import Labels

codes = st.lists(st.integers(-1, 5), max_size=30).map(lambda x: np.array(x, np.int32))
rows = st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), min_size=1, max_size=12)


def csr(lists):
    indptr = np.cumsum([0, *map(len, lists)])
    return Labels(indptr, np.array([c for one in lists for c in one], np.int32), tuple("abcdef"))


@settings(deadline=None)
@given(codes, codes)
def test_it_is_scipys_jensen_shannon_distance_squared(a, b):
    from scipy.spatial.distance import jensenshannon

    got = divergence(a, b)
    assert 0 <= got <= 1
    p, q = (np.bincount(x[x >= 0], minlength=6) for x in (a, b))
    if p.sum() and q.sum():
        assert got == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)


def test_the_same_mix_is_0_and_a_disjoint_one_is_1():
    full = np.array([0, 0, 1, 1, 1, 1])
    assert divergence(full, np.array([1, 0, 1])) == pytest.approx(0, abs=1e-12)
    assert divergence(np.array([0, 1]), np.array([2, 3])) == pytest.approx(1)


def test_a_subset_without_labels_has_lost_all_and_a_set_without_labels_has_lost_nothing():
    assert divergence(np.array([0, 1]), np.array([-1])) == 1.0
    assert divergence(np.array([-1, -1]), np.array([-1])) == 0.0


def test_a_class_is_lost_when_no_kept_sample_has_it():
    assert classes_lost(np.array([0, 1, 2, 2, -1]), np.array([2, -1])).tolist() == [0, 1]
    full = csr([[0, 3], [3], [], [1, 2]])
    assert classes_lost(full, take(full, np.array([0, 2]))).tolist() == [1, 2]


@settings(deadline=None)
@given(rows, st.data())
def test_taking_rows_of_several_labels_takes_their_labels(lists, data):
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=20))
    part = take(csr(lists), np.array(chosen, np.int64))
    place, values = pairs(part)
    assert [values[place == i].tolist() for i in range(len(chosen))] == [lists[i] for i in chosen]
    assert first(part).tolist() == [lists[i][0] if lists[i] else -1 for i in chosen]


def test_each_label_of_a_sample_counts():
    full = csr([[0, 1], [0, 1]])
    assert divergence(full, np.array([0, 1])) == pytest.approx(0, abs=1e-12)
