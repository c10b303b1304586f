"""The probes against scikit-learn, and what they do with odd labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.evaluate import probes
from espalier.core.evaluate.probes import knn_accuracy, logistic_probe
from espalier.core.prune.base import Labels
from espalier.core.rng import generator


def blobs(n, dim=64, classes=10, noise=1.2, seed=0):
    rng = generator(seed, "blobs")
    centres = generator(7, "centres").standard_normal((classes, dim))
    y = rng.integers(0, classes, n)
    x = centres[y] / np.sqrt(dim) * 3 + noise * rng.standard_normal((n, dim)) / np.sqrt(dim) * 3 + 0.2
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y.astype(np.int32)


def rows_of(lists):
    flat = np.array([c for one in lists for c in one], np.int32)
    return Labels(np.cumsum([0, *map(len, lists)]), flat, ())


@pytest.mark.parametrize(("n", "dim", "l2"), [(600, 64, 0.1), (600, 64, 1.0), (90, 128, 0.1), (600, 64, 0.01)])
def test_loss_and_accuracy_are_those_of_scikit_learn(n, dim, l2):
    from sklearn.linear_model import LogisticRegression

    x, y = blobs(n, dim)
    tx, ty = blobs(1000, dim, seed=1)
    got = logistic_probe(x, y, tx, ty, l2=l2)
    assert got.converged
    a, b = (x - got.center) / got.scale, (tx - got.center) / got.scale
    peer = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=5000).fit(a, y)
    z = peer.decision_function(a)
    z -= z.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(z).sum(1)) - z[np.arange(n), y]).sum() + l2 / 2 * (peer.coef_**2).sum()
    assert got.loss == pytest.approx(loss, rel=1e-4)
    assert abs(got.accuracy - peer.score(b, ty)) <= 0.005


def test_without_rescaling_it_fits_the_vectors_as_they_are():
    from sklearn.linear_model import LogisticRegression

    x, y = blobs(400)
    got = logistic_probe(x, y, x, y, l2=1.0, rescale=False)
    peer = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(got.weights - got.weights.mean(1, keepdims=True), peer.coef_.T, atol=0.01)


def test_the_answer_does_not_depend_on_the_block_or_the_number_of_threads():
    from threadpoolctl import threadpool_limits

    x, y = blobs(700)
    tx, ty = blobs(500, seed=2)
    one = logistic_probe(x, y, tx, ty)
    with threadpool_limits(1):
        two = logistic_probe(x, y, tx, ty)
    old, probes._BLOCK = probes._BLOCK, 100
    try:
        three = logistic_probe(x, y, tx, ty)
    finally:
        probes._BLOCK = old
    assert one.accuracy == two.accuracy == three.accuracy
    assert one.loss == pytest.approx(three.loss, rel=1e-5)


def test_codes_need_not_be_dense_and_unlabelled_samples_are_left_out():
    x, y = blobs(300, classes=3)
    y = np.array([4, 17, 90])[y]
    y[:20] = -1
    got = logistic_probe(x, y, x, y)
    assert got.classes.tolist() == [4, 17, 90]
    assert (got.n_train, got.n_test) == (280, 280)
    same = logistic_probe(x[20:], y[20:], x[20:], y[20:])
    assert got.accuracy == same.accuracy


def test_one_class_is_always_predicted():
    x, _ = blobs(40)
    got = logistic_probe(x, np.full(40, 3), x, np.array([3] * 10 + [5] * 30))
    assert got.accuracy == 0.25
    assert knn_accuracy(x, np.full(40, 3), x, np.array([3] * 10 + [5] * 30)) == 0.25


def test_several_labels_share_a_samples_weight_and_any_of_them_is_right():
    x, y = blobs(500, classes=4)
    both = rows_of([[c, 4] if i % 2 else [c] for i, c in enumerate(y.tolist())])
    single = rows_of([[c] for c in y.tolist()])
    assert logistic_probe(x, single, x, y).accuracy == logistic_probe(x, y, x, y).accuracy
    assert logistic_probe(x, both, x, both).accuracy >= logistic_probe(x, y, x, y).accuracy - 0.02
    assert knn_accuracy(x, single, x, y) == knn_accuracy(x, y, x, y)
    assert knn_accuracy(x, both, x, single, k=1) >= 0.5


def test_no_labels_at_all_are_refused_and_no_test_labels_give_no_number():
    x, y = blobs(20)
    for probe in (logistic_probe, knn_accuracy):
        with pytest.raises(EspalierError, match="label"):
            probe(x, np.full(20, -1), x, y)
    assert np.isnan(logistic_probe(x, y, x, np.full(20, -1)).accuracy)
    assert np.isnan(knn_accuracy(x, y, x, np.full(20, -1)))


def test_identical_vectors_do_not_break_the_fit():
    x = np.zeros((30, 8), np.float32)
    x[:, 0] = 1
    got = logistic_probe(x, np.arange(30) % 3, x, np.zeros(30, int))
    assert np.isfinite(got.loss)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 50), k=st.integers(1, 60), classes=st.integers(1, 5), seed=st.integers(0, 50))
def test_neighbours_vote_as_a_plain_loop_would(n, k, classes, seed):
    x, y = blobs(n, 6, classes, seed=seed)
    tx, ty = blobs(25, 6, classes, seed=seed + 1000)
    similarity = tx.astype(np.float64) @ x.T.astype(np.float64)
    right = 0
    for row, truth in zip(similarity, ty, strict=True):
        near = np.lexsort((np.arange(n), -row))[:k]
        votes = {c: (sum(y[near] == c), row[near][y[near] == c].sum() + sum(y[near] == c)) for c in set(y[near])}
        right += max(sorted(votes), key=lambda c: votes[c]) == truth
    assert knn_accuracy(x, y, tx, ty, k) == right / 25


def test_neighbours_agree_with_scikit_learn_where_no_votes_tie():
    from sklearn.neighbors import KNeighborsClassifier

    x, y = blobs(800, classes=2)
    tx, ty = blobs(400, classes=2, seed=3)
    peer = KNeighborsClassifier(11, metric="cosine").fit(x, y).score(tx, ty)
    assert knn_accuracy(x, y, tx, ty, k=11) == pytest.approx(peer)
