"""Recipes against random of their size, in one evaluation."""

import dataclasses

import numpy as np
import pytest

from espalier.core.complexity import cluster_complexity
from espalier.core.errors import EspalierError, UsageError
from espalier.core.evaluate import Evaluation, coverage, divergence, knn_accuracy, logistic_probe, redundancy
from espalier.core.evaluate.baseline import compare, plan, random_baseline, random_of_size
from espalier.core.prune import Clusters, Features, Labels
from espalier.core.recipe import Recipe

N, N_TEST, DIM, K = 300, 60, 16, 6


class Counting(Evaluation):
    """An evaluation that counts what it measures."""

    def _measure(self, kept):
        self._known.setdefault("calls", 0)
        self._known["calls"] += 1
        return super()._measure(kept)


def planted(seed=0):
    """Return unit vectors in six uneven groups, with the group as label: training rows first, then test rows."""
    rng = np.random.default_rng(seed)
    group = rng.choice(K, N + N_TEST, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    x = rng.normal(size=(K, DIM))[group] + 0.7 * rng.normal(size=(N + N_TEST, DIM))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return x, group


def as_labels(group):
    return Labels(np.arange(len(group) + 1), group.astype(np.int32), tuple("abcdef"))


@pytest.fixture
def evaluation():
    x, group = planted()
    return Counting(x[:N], as_labels(group[:N]), group[:N].astype(np.int32), x[N:], as_labels(group[N:]))


@pytest.fixture
def features(evaluation):
    centroids = np.stack([evaluation.vectors[evaluation.clusters == c].mean(axis=0) for c in range(K)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    distance = 1 - np.einsum("ij,ij->i", evaluation.vectors, centroids[evaluation.clusters])
    found = cluster_complexity(centroids, evaluation.clusters, distance.astype(np.float32))
    clusters = Clusters(evaluation.clusters, distance.astype(np.float32), found.size, found.complexity, centroids)
    return Features(N, vectors=evaluation.vectors, clusters=clusters, labels=evaluation.labels)


def test_the_plan_has_every_method_at_every_ratio_with_random_first():
    texts = [str(r) for r in plan(("density", "stratified"), ("0.1", "n50"))]
    assert texts == ["random@0.1", "density@0.1", "stratified@0.1", "random@n50", "density@n50", "stratified@n50"]


def test_the_plan_names_no_recipe_twice_and_writes_them_canonically():
    texts = [str(r) for r in plan(("random", "density"), ("0.1", "10%"), ("density@0.10:temperature=0.1",))]
    assert texts == ["random@0.1", "density@0.1"]


def test_recipes_alone_bring_no_other_methods():
    texts = [str(r) for r in plan((), ("0.1",), ("density@0.2:keep=easy:subsets=train",))]
    assert texts == ["random@0.2:subsets=train", "density@0.2:keep=easy:subsets=train"]


def test_a_method_that_is_none_is_refused_in_the_plan():
    with pytest.raises(UsageError, match="no prune method 'dense'"):
        plan(("dense",), ("0.1",))


def test_the_random_baseline_of_a_recipe_has_its_amount_and_subsets_and_nothing_else():
    recipe = Recipe.parse("balanced@0.2:min_per_class=3:subsets=train")
    assert str(random_baseline(recipe, 7)) == "random@0.2:seed=7:subsets=train"


def test_an_evaluation_agrees_with_the_measures_taken_one_by_one(evaluation):
    x, group = planted()
    kept = np.zeros(N, bool)
    kept[np.random.default_rng(3).permutation(N)[:70]] = True
    got = evaluation.measure(kept)
    radii = coverage(x[:N], kept)
    want = {
        "n": N,
        "n_kept": 70,
        **dataclasses.asdict(radii),
        "redundancy": redundancy(x[:N], kept),
        "label_divergence": divergence(group[:N], group[:N][kept]),
        "cluster_divergence": divergence(group[:N], group[:N][kept]),
        "classes_lost": tuple(sorted(set(group[:N].tolist()) - set(group[:N][kept].tolist()))),
        "knn_accuracy": knn_accuracy(x[:N][kept], group[:N][kept], x[N:], group[N:], 10),
        "probe_accuracy": logistic_probe(x[:N][kept], group[:N][kept], x[N:], group[N:]).accuracy,
        "n_train": 70,
        "n_test": N_TEST,
    }
    assert dataclasses.asdict(got) == want


def test_the_same_subset_is_measured_once(evaluation):
    kept = np.arange(N) < 50
    assert evaluation.measure(kept) == evaluation.measure(kept.copy())
    assert evaluation._known["calls"] == 1


def test_radii_of_all_files_are_those_of_originals_of_which_no_copy_is_kept():
    x, group = planted()
    original = np.where(np.arange(N) < 200, np.arange(N), np.arange(N) - 200)
    original[290:] = -1  # copies of what is not here
    kept = (np.arange(N) % 7) == 0
    got = Evaluation(x[:N], as_labels(group[:N]), original=original).measure(kept)
    dropped = np.array([i for i in range(200) if not kept[i] and not any(kept[original == i])])
    distance = (1 - x[dropped].astype(np.float64) @ x[:N][kept].T.astype(np.float64)).min(axis=1)
    assert (got.n, got.n_kept, got.n_dropped) == (200, kept.sum(), len(dropped))
    assert got.radius_max == pytest.approx(distance.max(), abs=1e-6)
    assert got.radius_mean == pytest.approx(distance.mean(), abs=1e-6)


def test_nothing_kept_is_refused(evaluation):
    with pytest.raises(EspalierError, match="nothing to measure"):
        evaluation.measure(np.zeros(N, bool))


def test_methods_that_draw_run_through_the_seeds_and_others_once(evaluation, features):
    found = compare(plan(("density", "stratified"), ("0.2",)), features, evaluation, seeds=4)
    by_name = {m.recipe.method.name: m for m in found.measured}
    assert by_name["random"].seeds == by_name["stratified"].seeds == (0, 1, 2, 3)
    assert by_name["density"].seeds == ()
    assert [len(by_name[m].qualities) for m in ("random", "stratified", "density")] == [4, 4, 1]
    assert {q.n_kept for m in found.measured for q in m.qualities} == {60}
    assert by_name["random"].verdict is None
    assert by_name["density"].verdict.n_random == 4
    assert by_name["density"].baseline == by_name["random"].qualities


def test_a_recipe_with_a_seed_of_its_own_runs_with_that_one(evaluation, features):
    found = compare(plan((), (), ("stratified@0.2:seed=9",)), features, evaluation)
    assert found.measured[1].seeds == (9,)


def test_all_kept_is_measured_once_whatever_the_recipe(evaluation, features):
    compare(plan(("stratified", "density"), ("1.0",)), features, evaluation)
    assert evaluation._known["calls"] == 1


def test_methods_that_need_labels_are_left_out_without_them(evaluation, features):
    bare = dataclasses.replace(features, labels=None)
    found = compare(plan(("balanced", "density"), ("0.2",)), bare, dataclasses.replace(evaluation, labels=None))
    assert found.left_out == (("balanced@0.2", "needs labels, which this dataset lacks"),)
    assert [m.recipe.method.name for m in found.measured] == ["random", "density"]
    assert found.measured[1].verdict.metric == "radius_mean"


def test_a_recipe_that_cannot_be_met_is_left_out_with_its_reason(evaluation, features):
    found = compare(
        plan((), (), ("density@0.1:min_per_class=20", "density@n9999", "density@0.1")), features, evaluation
    )
    assert [text for text, _ in found.left_out] == ["density@0.1:min_per_class=20", "random@n9999", "density@n9999"]
    assert "min_per_class=20 needs" in found.left_out[0][1]
    assert "n9999 asks for more than the 300" in found.left_out[1][1]


def test_nothing_that_can_be_applied_is_an_error(evaluation, features):
    with pytest.raises(EspalierError, match="n9999 asks for more"):
        compare(plan(("density",), ("n9999",)), features, evaluation)


def test_random_over_all_files_has_the_recipes_count(evaluation, features):
    x, group = planted()
    double = np.concatenate([x[:N], x[:N]])
    raw = Evaluation(
        double, as_labels(np.tile(group[:N], 2)), None, x[N:], as_labels(group[N:]), original=np.tile(np.arange(N), 2)
    )
    found = compare(plan(("balanced",), ("0.3",)), features, evaluation, seeds=2, raw=raw)
    ((amount, drawn),) = found.raw
    assert str(amount) == "0.3"
    assert [(q.n, q.n_kept) for q in drawn] == [(N, 90)] * 2
    assert found.measured[1].raw.n_random == 2


def test_random_of_a_size_holds_what_the_recipe_keeps_whole(evaluation):
    whole = np.arange(N) < 40
    seen = []

    class Watching(Evaluation):
        def _measure(self, kept):
            seen.append(kept.copy())
            return super()._measure(kept)

    random_of_size(Watching(evaluation.vectors), 100, whole, 3)
    assert [kept.sum() for kept in seen] == [100] * 3
    assert all(kept[:40].all() for kept in seen)
    assert len({kept.tobytes() for kept in seen}) == 3


def test_probes_train_on_a_bounded_draw_where_rows_are_bounded(evaluation):
    bounded = dataclasses.replace(evaluation, max_rows=5, _known={})
    got = bounded.measure(np.arange(N) < 200)
    assert (got.n_train, got.n_kept, got.n_measured) == (50, 200, 5)
