"""The methods that share the target over clusters: random, cluster_random, density, entropy, stratified, prototypes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.complexity import cluster_complexity
from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import (
    ClusterRandom,
    Clusters,
    Density,
    Entropy,
    Features,
    Labels,
    Prototypes,
    Random,
    Selection,
    Stratified,
)
from espalier.core.prune.entropy import draw_weights
from espalier.core.prune.stratified import equal_width_bins
from espalier.core.rng import generator

Make = Callable[..., Features]
MakeLabels = Callable[..., Labels]


def sized(sizes: list[int], distance: np.ndarray | None = None, complexity: list[float] | None = None) -> Features:
    """Clusters of the given sizes, in row order."""
    assignment = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    n = len(assignment)
    distance = np.linspace(0, 1, n) if distance is None else distance
    clusters = Clusters(
        assignment,
        distance.astype(np.float32),
        np.array(sizes, np.int64),
        np.array(complexity or [0.1] * len(sizes), np.float64),
    )
    return Features(n, clusters=clusters)


def per_cluster(selection: Selection) -> list[int]:
    return np.bincount(selection.group[selection.kept], minlength=len(selection.quota)).tolist()


def rng(purpose: str = "test") -> np.random.Generator:
    return generator(0, purpose)


def test_random_keeps_every_sample_equally_often() -> None:
    features, times = Features(20), np.zeros(20)
    for draw in range(2000):
        times += Random()(features, target=5, rng=generator(draw, "random")).kept
    assert np.abs(times / 2000 - 0.25).max() < 0.05  # five deviations


@pytest.mark.parametrize(
    ("sizes", "target", "quotas"),
    [
        ([10] * 10, 55, [6] * 5 + [5] * 5),  # Datumaro keeps 50
        ([1] * 100, 5, [1] * 5 + [0] * 95),  # Datumaro keeps 100
        ([20, 30, 14, 10, 26], 50, [10, 15, 7, 5, 13]),  # Datumaro's own test has 49
        ([3] * 100 + [700], 100, None),  # Datumaro keeps 170
        ([7] * 1000, 3500, None),  # Datumaro keeps 3000
    ],
)
def test_shares_by_size_sum_to_the_target(sizes: list[int], target: int, quotas: list[int] | None) -> None:
    """Datumaro's quotas: the remainder goes only to clusters whose floor is nought, or to all that are alike."""
    selection = ClusterRandom()(sized(sizes), target=target, rng=rng())
    assert selection.kept.sum() == target
    assert quotas is None or per_cluster(selection) == quotas
    assert np.abs(selection.quota - np.array(sizes) * target / sum(sizes)).max() < 1


def test_cluster_random_keeps_members_of_a_cluster_equally_often() -> None:
    features, times = sized([8, 4]), np.zeros(12)
    for draw in range(2000):
        times += ClusterRandom()(features, target=6, rng=generator(draw, "cluster")).kept
    assert np.abs(times / 2000 - 0.5).max() < 0.06


def test_density_keeps_the_hardest_the_easiest_or_any() -> None:
    distance = np.array([0.1, 0.4, 0.2, 0.3, 0.9, 0.5, 0.7, 0.6])
    features = sized([4, 4], distance)
    hard = Density(keep="hard")(features, target=4, rng=rng())
    easy = Density(keep="easy")(features, target=4, rng=rng())
    drawn = [Density(keep="random")(features, target=4, rng=rng(str(i))).kept.tolist() for i in range(9)]
    assert np.flatnonzero(hard.kept).tolist() == [1, 3, 4, 6]
    assert np.flatnonzero(easy.kept).tolist() == [0, 2, 5, 7]
    assert len(set(map(tuple, drawn))) > 1


def test_easy_at_a_quota_of_nought_keeps_none() -> None:
    """effective_pruning slices ``[-0:]``, which keeps the whole cluster."""
    features = sized([5, 5], complexity=[10.0, 0.0])
    selection = Density(keep="easy", cls_bal_ratio=0.0)(features, target=1, rng=rng())
    assert per_cluster(selection) == [1, 0]


def test_density_is_exact_and_within_bounds_for_five_hundred_clusters() -> None:
    """effective_pruning rounds after its quadratic program: 93 % of such cases miss the sum, by up to 145."""
    for case in range(40):
        draw = rng(f"case {case}")
        sizes = np.ceil(draw.pareto(1.2, 500) * 5 + 0.1).astype(int).tolist()
        features = sized(sizes, complexity=(draw.random(500) * 0.4).tolist())
        target = int(draw.integers(1, features.n))
        chosen = Density(temperature=float(draw.choice([0.02, 0.1, 0.5])))(features, target=target, rng=rng())
        assert chosen.kept.sum() == target
        assert (chosen.quota <= sizes).all()
        assert (chosen.quota >= (1 if target >= 500 else 0)).all()


def test_density_keeps_one_of_every_singleton_where_the_target_allows() -> None:
    """effective_pruning's lower bound is size - 1, so four singletons at a target of 2 give 0."""
    assert Density()(sized([1, 1, 1, 1]), target=2, rng=rng()).kept.sum() == 2
    features = sized([1, 1, 1, 97], complexity=[0.0, 0.0, 0.0, 9.0])
    assert per_cluster(Density(cls_bal_ratio=0.0)(features, target=10, rng=rng())) == [1, 1, 1, 7]


def test_density_gives_more_to_complex_clusters_and_a_higher_temperature_less_so() -> None:
    features = sized([100, 100, 100], complexity=[0.1, 0.2, 0.3])
    cold = Density(temperature=0.1, cls_bal_ratio=0.0)(features, target=100, rng=rng()).quota
    warm = Density(temperature=10, cls_bal_ratio=0.0)(features, target=100, rng=rng()).quota
    share = np.exp(np.array([1.0, 2.0, 3.0]))
    assert np.abs(cold - 100 * share / share.sum()).max() < 1
    assert np.ptp(warm) <= 2


def test_density_by_size_follows_the_size_and_uniform_is_even() -> None:
    features = sized([100, 200, 300], complexity=[9.0, 0.0, 1.0])
    assert Density(by="size", cls_bal_ratio=0)(features, target=60, rng=rng()).quota.tolist() == [10, 20, 30]
    assert Density(by="uniform")(features, target=60, rng=rng()).quota.tolist() == [20, 20, 20]


def test_the_floor_of_density_is_half_an_even_share() -> None:
    features = sized([100, 100], complexity=[50.0, 0.0])
    assert Density(cls_bal_ratio=0.5)(features, target=60, rng=rng()).quota.tolist() == [45, 15]
    assert Density(cls_bal_ratio=1.0)(features, target=60, rng=rng()).quota.tolist() == [30, 30]


def test_empty_clusters_take_no_part_in_density() -> None:
    some = sized([10, 0, 10], complexity=[0.1, 5.0, 0.1])
    assert Density()(some, target=9, rng=rng()).quota.tolist() == [5, 0, 4]


def test_other_neighbours_are_measured_anew(features_of: Make) -> None:
    features = features_of(200, clusters=6)
    near = Density(n_neighbors=1)(features, target=50, rng=rng())
    assert near.kept.sum() == 50
    assert Density(n_neighbors=1).needs == {"clusters", "centroids"}
    assert Density().needs == {"clusters", "complexity"}
    assert Density(by="size").needs == {"clusters"}


def test_a_recipe_without_neighbours_takes_the_complexity_as_the_dataset_measured_it(features_of: Make) -> None:
    features = features_of(400, clusters=12)
    known = features.clusters
    assert known is not None
    quotas = {}
    for n in (2, 9):
        measured = cluster_complexity(known.centroids, known.assignment, known.distance, n).complexity
        clusters = dataclasses.replace(known, complexity=measured, n_neighbors=n)
        of = dataclasses.replace(features, clusters=clusters)
        quotas[n] = [Density(n_neighbors=m)(of, target=100, rng=rng()).quota.tolist() for m in (None, 2, 9)]
    _, written_2, written_9 = quotas[2]
    assert written_2 != written_9
    assert quotas == {2: [written_2, written_2, written_9], 9: [written_9, written_2, written_9]}


def test_fewer_clusters_than_neighbours_still_have_a_complexity(features_of: Make) -> None:
    """effective_pruning's d_inter is infinite when there are 20 clusters or fewer."""
    features = features_of(100, clusters=3)
    assert Density(n_neighbors=21)(features, target=30, rng=rng()).kept.sum() == 30


def test_entropy_weights_are_one_over_the_count_of_the_label_in_the_cluster(labels_of: MakeLabels) -> None:
    labels = labels_of([[0], [0], [1], [], [0, 1], [1]], ("a", "b"))
    weights = draw_weights(labels, np.array([0, 0, 0, 0, 1, 1], np.int32))
    assert weights.tolist() == [1 / 2, 1 / 2, 1, 1, 1, 1 / 2]


def test_entropy_draws_match_their_weights(labels_of: MakeLabels) -> None:
    """The first draw of a cluster has probability weight / sum, the next ones the same without the first."""
    labels = labels_of([[0]] * 6 + [[1]] * 3 + [[2]], ("a", "b", "c"))
    clusters = Clusters(np.zeros(10, np.int32), np.zeros(10, np.float32), np.array([10]))
    features = Features(10, clusters=clusters, labels=labels)
    one, two, rounds = np.zeros(10), np.zeros(10), 6000
    for draw in range(rounds):
        one += Entropy()(features, target=1, rng=generator(draw, "one")).kept
        two += Entropy()(features, target=2, rng=generator(draw, "two")).kept
    weight = np.array([1 / 6] * 6 + [1 / 3] * 3 + [1.0])
    p = weight / weight.sum()
    pair = p[:, None] * p[None] / (1 - p[:, None])
    np.fill_diagonal(pair, 0)
    expected = p + pair.sum(axis=0)
    assert np.abs(one / rounds - p).max() < 5 * np.sqrt(0.25 / rounds)
    assert np.abs(two / rounds - expected).max() < 5 * np.sqrt(0.25 / rounds)


def test_entropy_is_repeatable_and_its_seed_matters(features_of: Make) -> None:
    """Datumaro draws from the global generator, unseeded: two calls differ."""
    features = features_of(300)
    first, again, other = (Entropy()(features, target=90, rng=generator(s, "e")).kept for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_no_method_touches_the_global_generator(features_of: Make) -> None:
    """Datumaro resets ``random.seed(0)`` and draws from ``numpy.random``."""
    import random

    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    for method in (Random(), ClusterRandom(), Entropy(), Density(keep="random")):
        method(features_of(50), target=10, rng=rng())
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002


@pytest.mark.parametrize("labels", ["one", "some", "several"])
def test_unlabelled_and_multi_label_samples_stay_aligned(features_of: Make, labels: str) -> None:
    """Datumaro appends labels per annotation: unlabelled items end in an IndexError, several misalign."""
    features = features_of(200, labels=labels)
    assert Entropy()(features, target=60, rng=rng()).kept.sum() == 60


def test_a_method_that_needs_labels_says_so_and_names_those_that_do_not(features_of: Make) -> None:
    with pytest.raises(EspalierError, match=r"entropy needs labels.*random.*density"):
        Entropy()(features_of(10, labels="none"), target=3, rng=rng())
    bare = Labels(np.zeros(11, np.int64), np.empty(0, np.int32), ())
    features = Features(10, clusters=features_of(10).clusters, labels=bare)
    with pytest.raises(EspalierError, match="entropy needs labels"):
        Entropy()(features, target=3, rng=rng())


def test_prototypes_are_the_hardest_overall() -> None:
    distance = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.4])
    features = sized([4, 4], distance)
    assert per_cluster(Prototypes(cls_bal_ratio=0)(features, target=4, rng=rng())) == [4, 0]
    assert per_cluster(Prototypes(cls_bal_ratio=0.5)(features, target=4, rng=rng())) == [3, 1]
    assert per_cluster(Prototypes(cls_bal_ratio=1)(features, target=4, rng=rng())) == [2, 2]
    easy = Prototypes(keep="easy", cls_bal_ratio=0)(features, target=3, rng=rng())
    assert np.flatnonzero(easy.kept).tolist() == [4, 5, 6]


def test_prototypes_are_balanced_over_labels_when_asked(labels_of: MakeLabels) -> None:
    distance = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2])
    features = Features(
        6, clusters=sized([6], distance).clusters, labels=labels_of([[0]] * 4 + [[1], []], ("cat", "dog"))
    )
    chosen = Prototypes(balance="label", cls_bal_ratio=1)(features, target=3, rng=rng())
    assert chosen.group_names == ("cat", "dog", "(no label)")
    assert np.flatnonzero(chosen.kept).tolist() == [0, 4, 5]


def test_bins_are_of_equal_width() -> None:
    assert equal_width_bins(np.array([0.0, 0.24, 0.26, 0.74, 0.76, 1.0]), 4).tolist() == [0, 0, 1, 2, 3, 3]
    assert equal_width_bins(np.full(3, 0.5), 4).tolist() == [0, 0, 0]
    assert equal_width_bins(np.empty(0), 4).tolist() == []


def test_stratified_takes_equal_shares_and_redistributes_what_small_bins_lack() -> None:
    features = sized([10], np.array([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.5, 1.0]))
    assert Stratified(bins=3)(features, target=6, rng=rng()).quota.tolist() == [4, 1, 1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Density(temperature=-1.0), "temperature=-1.0 .*at least"),
        (lambda: Density(temperature=float("nan")), "temperature=nan"),
        (lambda: Density(cls_bal_ratio=2), "cls_bal_ratio=2 .*at least 0 and at most 1"),
        (lambda: Prototypes(cls_bal_ratio=-0.1), "cls_bal_ratio=-0.1 .*at least 0"),
        (lambda: Stratified(bins=0), "bins=0 .*at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_a_target_above_the_samples_is_refused(features_of: Make) -> None:
    with pytest.raises(EspalierError, match="density cannot keep 11 of 10"):
        Density()(features_of(10), target=11, rng=rng())
