"""balanced: even or given shares of the labels, each label's share spread over its clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import Balanced, Clusters, Features, Labels
from espalier.core.rng import generator

MakeLabels = Callable[..., Labels]


def labelled(per_sample: list[list[int]], names: tuple[str, ...], labels_of: MakeLabels, k: int = 1) -> Features:
    n = len(per_sample)
    assignment = (np.arange(n) % k).astype(np.int32)
    clusters = Clusters(assignment, np.zeros(n, np.float32), np.bincount(assignment, minlength=k))
    return Features(n, clusters=clusters, labels=labels_of(per_sample, names))


def kept_per_label(features: Features, target: int, method: Balanced) -> dict[str, int]:
    chosen = method(features, target=target, rng=generator(0, "balanced"))
    counts = np.bincount(chosen.group[chosen.kept], minlength=len(chosen.quota))
    assert chosen.kept.sum() == target
    return dict(zip(chosen.group_names, counts.tolist(), strict=True))


def test_every_label_keeps_its_even_share_and_small_ones_all_they_have(labels_of: MakeLabels) -> None:
    features = labelled([[0]] * 100 + [[1]] * 50 + [[2]] * 4, ("a", "b", "c"), labels_of)
    assert kept_per_label(features, 30, Balanced()) == {"a": 13, "b": 13, "c": 4}
    assert kept_per_label(features, 140, Balanced()) == {"a": 86, "b": 50, "c": 4}


def test_a_given_mix_is_followed_until_a_label_runs_out(labels_of: MakeLabels) -> None:
    features = labelled([[0]] * 50 + [[1]] * 50 + [[2]] * 50, ("cat", "dog", "fire truck"), labels_of)
    assert kept_per_label(features, 50, Balanced(mix=("cat-3",))) == {"cat": 30, "dog": 10, "fire truck": 10}
    assert kept_per_label(features, 50, Balanced(mix=("fire_truck-0",)))["fire truck"] == 0
    assert kept_per_label(features, 120, Balanced(mix=("fire_truck-0",)))["fire truck"] == 20


def test_shares_of_a_decimal_mix_that_tie_go_to_the_first_label(labels_of: MakeLabels) -> None:
    """Of four, 0.3 to 0.5 is 1.5 to 2.5; in binary 0.3 is a little less than it says."""
    features = labelled([[0]] * 9 + [[1]] * 9, ("cat", "dog"), labels_of)
    assert kept_per_label(features, 4, Balanced(mix=("cat-0.3", "dog-0.5"))) == {"cat": 2, "dog": 2}


def test_a_mix_that_names_no_label_is_refused_with_the_labels(labels_of: MakeLabels) -> None:
    features = labelled([[0], [1]], ("cat", "dog"), labels_of)
    with pytest.raises(UsageError, match=r"'cow' names no label.*cat, dog"):
        kept_per_label(features, 1, Balanced(mix=("cow-2",)))
    with pytest.raises(UsageError, match="weight 0"):
        kept_per_label(features, 1, Balanced(mix=("cat-0", "dog-0")))


def test_a_sample_with_several_labels_counts_for_the_rarest(labels_of: MakeLabels) -> None:
    features = labelled([[0], [0], [0, 1], [0, 1, 2], []], ("a", "b", "c"), labels_of)
    assert features.labels.rarest().tolist() == [0, 0, 1, 2, -1]
    assert kept_per_label(features, 4, Balanced()) == {"a": 1, "b": 1, "c": 1, "(no label)": 1}


def test_any_part_of_a_label_holds_its_clusters_in_proportion(labels_of: MakeLabels) -> None:
    n = 600
    assignment = np.repeat([0, 1, 2], [300, 200, 100]).astype(np.int32)
    features = Features(
        n,
        clusters=Clusters(assignment, np.zeros(n, np.float32), np.bincount(assignment)),
        labels=labels_of([[0]] * n, ("a",)),
    )
    for target in (60, 61, 300, 599):
        chosen = Balanced()(features, target=target, rng=generator(target, "spread"))
        share = np.bincount(assignment[chosen.kept]) - target * np.array([3, 2, 1]) / 6
        assert np.abs(share).max() <= 2


def test_inside_a_label_and_cluster_every_sample_is_kept_equally_often(labels_of: MakeLabels) -> None:
    features, times = labelled([[0]] * 12, ("a",), labels_of, k=2), np.zeros(12)
    for draw in range(3000):
        times += Balanced()(features, target=3, rng=generator(draw, "even")).kept
    assert np.abs(times / 3000 - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 3000)


def test_balanced_without_labels_names_the_methods_that_do_without(labels_of: MakeLabels) -> None:
    features = labelled([[]] * 4, (), labels_of)
    with pytest.raises(EspalierError, match=r"balanced needs labels.*stratified"):
        Balanced()(features, target=2, rng=generator(0, "none"))
