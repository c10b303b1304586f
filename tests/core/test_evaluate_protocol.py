"""Who trains and who tests."""

import numpy as np
import pytest

from espalier.core.evaluate import train_and_test
from espalier.core.evaluate.protocol import HELD_OUT, NONE

N = 200


@pytest.fixture
def labels():
    return np.arange(N) % 5


def roles(**counts):
    out = np.full(N, "train", dtype=object)
    start = 0
    for role, count in counts.items():
        out[start : start + count] = role
        start += count
    return out


ALL = np.ones(N, bool)


def test_the_whole_test_subset_tests_and_val_trains_nobody(labels):
    found = train_and_test(roles(test=30, val=20), ALL, labels)
    assert found.source == "test"
    assert found.test.sum() == 30
    assert found.test[:30].all()
    assert found.train.sum() == N - 50
    assert not found.train[:50].any()


def test_val_tests_where_there_is_no_test_subset(labels):
    found = train_and_test(roles(val=20), ALL, labels)
    assert (found.source, found.test.sum(), found.train.sum()) == ("val", 20, N - 20)


def test_val_tests_where_the_test_subset_has_no_labels(labels):
    labels[:30] = -1
    found = train_and_test(roles(test=30, val=20), ALL, labels)
    assert found.source == "val"
    assert not found.test[:30].any()
    assert not found.train[:50].any()


def test_without_either_a_stratified_tenth_is_held_out_of_the_training_rows(labels):
    reach = ALL.copy()
    reach[150:] = False
    found = train_and_test(roles(extra=40), reach, labels)
    assert found.source == HELD_OUT
    assert found.test.sum() == 15
    assert not (found.test & found.train).any()
    assert ((found.test | found.train) == reach).all()
    assert np.bincount(labels[found.test]).tolist() == [3] * 5


def test_the_held_out_tenth_depends_on_the_seed_only(labels):
    one, two, other = (train_and_test(roles(), ALL, labels, seed=s).test for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_test_rows_that_do_not_reach_pruning_are_tested_on_all_the_same(labels):
    reach = ALL.copy()
    reach[:10] = False
    assert train_and_test(roles(test=30), reach, labels).test[:30].all()


def test_a_dataset_of_test_samples_only_is_read_as_if_it_had_no_subsets(labels):
    found = train_and_test(np.full(N, "test", dtype=object), ALL, labels)
    assert (found.source, found.test.sum(), found.train.sum()) == (HELD_OUT, 20, 180)


def test_without_labels_nothing_is_tested_but_the_test_subset_still_does_not_train():
    for labels in (None, np.full(N, -1)):
        found = train_and_test(roles(test=30), ALL, labels)
        assert (found.source, found.test.sum(), found.train.sum()) == (NONE, 0, N - 30)


def test_more_test_rows_than_wanted_are_thinned_and_the_rest_still_does_not_train(labels):
    found = train_and_test(roles(test=30), ALL, labels, most=12)
    assert found.test.sum() == 12
    assert found.test[:30].sum() == 12
    assert not found.train[:30].any()
