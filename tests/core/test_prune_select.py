"""select: the shared scope, the verdicts and their refusals, on cases small enough to check by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import Clusters, Features, Labels, Rule
from espalier.core.prune.reasons import reasons
from espalier.core.prune.select import needs, pruned_subsets, select
from espalier.core.recipe import Recipe

Make = Callable[..., Features]
MakeLabels = Callable[..., Labels]


@pytest.fixture
def ladder(labels_of: MakeLabels) -> Features:
    """Two clusters of five, harder with the row; label "rare" on the two easiest of the first cluster."""
    assignment = np.repeat([0, 1], 5).astype(np.int32)
    return Features(
        10,
        clusters=Clusters(assignment, (np.arange(10) / 10).astype(np.float32), np.array([5, 5])),
        labels=labels_of([[1], [1], *[[0]] * 8], ("common", "rare")),
    )


PLAIN = "prototypes@0.4:cls_bal_ratio=1"  # keeps the two hardest of each cluster


def kept(features: Features, text: str, **more: object) -> list[int]:
    return np.flatnonzero(select(Recipe.parse(text), features, **more).kept).tolist()


def test_the_method_alone(ladder: Features) -> None:
    assert kept(ladder, PLAIN) == [3, 4, 8, 9]


def test_a_label_that_would_vanish_takes_the_last_places_of_its_own_cluster(ladder: Features) -> None:
    recipe = Recipe.parse(f"{PLAIN}:min_per_class=1")
    chosen = select(recipe, ladder)
    assert np.flatnonzero(chosen.kept).tolist() == [1, 4, 8, 9]
    assert np.flatnonzero(chosen.rule).tolist() == [1, 3]
    assert (chosen.rule[1], chosen.rule[3]) == (Rule.CLASS, Rule.DISPLACED)


def test_a_label_with_fewer_than_the_least_keeps_all_it_has(ladder: Features) -> None:
    assert kept(ladder, "prototypes@0.5:cls_bal_ratio=1:min_per_class=3") == [0, 1, 4, 8, 9]


def test_other_clusters_give_way_only_when_the_own_one_is_used_up(ladder: Features) -> None:
    keep = np.zeros(10, bool)
    keep[[0, 1, 2]] = True
    chosen = select(Recipe.parse(PLAIN), ladder, forced_keep=keep)
    assert np.flatnonzero(chosen.kept).tolist() == [0, 1, 2, 9]
    assert (chosen.rule[:3] == Rule.PINNED).all()


def test_a_label_floor_above_the_target_is_refused_with_what_it_needs(ladder: Features) -> None:
    with pytest.raises(EspalierError, match=r"min_per_class=3 needs 5 samples, more than the 4.*n5"):
        select(Recipe.parse(f"{PLAIN}:min_per_class=3"), ladder)


def test_a_floor_without_labels_is_refused(ladder: Features) -> None:
    with pytest.raises(EspalierError, match="min_per_class needs labels"):
        kept(dataclasses.replace(ladder, labels=None), "random@0.5:min_per_class=1")


def test_samples_dropped_by_verdict_still_count_in_n(ladder: Features) -> None:
    drop = np.zeros(10, bool)
    drop[[4, 9]] = True
    chosen = select(Recipe.parse(PLAIN), ladder, forced_drop=drop)
    assert np.flatnonzero(chosen.kept).tolist() == [2, 3, 7, 8]
    assert (chosen.rule[[4, 9]] == Rule.BARRED).all()
    assert np.isnan(chosen.score[[4, 9]]).all()


def test_verdicts_that_cannot_be_met_are_refused(ladder: Features) -> None:
    yes, no = np.ones(10, bool), np.zeros(10, bool)
    with pytest.raises(EspalierError, match="10 samples are to be kept by verdict, more than the 4"):
        select(Recipe.parse(PLAIN), ladder, forced_keep=yes)
    with pytest.raises(EspalierError, match="keeps 4, but verdicts to drop leave 0"):
        select(Recipe.parse(PLAIN), ladder, forced_drop=yes)
    with pytest.raises(EspalierError, match="Row 0 is to be kept and dropped"):
        select(Recipe.parse(PLAIN), ladder, forced_keep=yes, forced_drop=yes)
    assert kept(ladder, PLAIN, forced_keep=no, forced_drop=no) == [3, 4, 8, 9]


def test_a_verdict_to_drop_holds_in_subsets_kept_whole_too(ladder: Features) -> None:
    names, drop = np.repeat(["train", "test"], [6, 4]), np.zeros(10, bool)
    drop[9] = True
    chosen = select(Recipe.parse("random@0.5:subsets=train"), ladder, names, forced_drop=drop)
    assert chosen.kept[6:9].all()
    assert not chosen.kept[9]
    assert chosen.kept[:6].sum() == 3


def test_a_subset_that_does_not_exist_is_refused_with_those_that_do(ladder: Features) -> None:
    with pytest.raises(UsageError, match=r"no subset 'valid'.*\(no name\), train"):
        kept(ladder, "random@0.5:subsets=train+valid", subset_names=np.repeat(["train", ""], 5))
    with pytest.raises(EspalierError, match="has none"):
        kept(ladder, "random@0.5:subsets=train")


def test_a_count_is_of_the_chosen_subsets_only(ladder: Features) -> None:
    names = np.repeat(["train", "test"], 5)
    assert len(kept(ladder, "random@n2:subsets=train", subset_names=names)) == 2 + 5
    with pytest.raises(UsageError, match="n6 asks for more than the 5 samples"):
        kept(ladder, "random@n6:subsets=train", subset_names=names)


def test_cluster_sizes_are_counted_inside_the_chosen_subsets(ladder: Features) -> None:
    names = np.array(["train"] * 4 + ["test"] + ["train"] + ["test"] * 4)
    chosen = select(Recipe.parse("cluster_random@n3:subsets=train"), ladder, names)
    assert chosen.quota.tolist() == [2, 1]


def test_the_space_of_hashes_is_clustered_anew(features_of: Make) -> None:
    features = features_of(200, clusters=4, dim=16)
    recipe = Recipe.parse("cluster_random@0.5:space=hash")
    assert needs(recipe) == {"clusters", "hashes"}
    chosen = select(recipe, features)
    assert len(chosen.quota) == 4
    bits = np.unpackbits(features.hashes, axis=1)
    within = np.mean([bits[chosen.group == g].var(axis=0).mean() for g in range(4)])
    assert within < 0.8 * bits.var(axis=0).mean()
    with pytest.raises(EspalierError, match="space=hash needs hashes"):
        select(recipe, dataclasses.replace(features, hashes=None))


def test_the_clusters_of_hashes_are_measured_with_the_datasets_neighbours(features_of: Make) -> None:
    features = features_of(400, clusters=12, dim=16)
    quotas = {}
    for n in (2, 9):
        of = dataclasses.replace(features, clusters=dataclasses.replace(features.clusters, n_neighbors=n))
        for text in ("", ":n_neighbors=2", ":n_neighbors=9"):
            quotas[n, text] = select(Recipe.parse(f"density@0.3:space=hash{text}"), of).quota.tolist()
    assert quotas[2, ""] == quotas[2, ":n_neighbors=2"] == quotas[9, ":n_neighbors=2"]
    assert quotas[9, ""] == quotas[9, ":n_neighbors=9"] == quotas[2, ":n_neighbors=9"]
    assert quotas[2, ""] != quotas[9, ""]


def test_needs_names_what_the_loader_must_bring() -> None:
    assert needs(Recipe.parse("random@0.5")) == frozenset()
    assert needs(Recipe.parse("random@0.5:subsets=train:min_per_class=2")) == {"subsets", "labels"}
    assert needs(Recipe.parse("density@0.5:space=hash")) == {"hashes", "clusters"}
    assert needs(Recipe.parse("kcenter@0.5:space=hash")) == {"hashes"}
    assert pruned_subsets(Recipe.parse("ndr@0.5:working_subset=train")) == ("train",)


def test_an_empty_dataset_is_pruned_to_nothing() -> None:
    assert select(Recipe.parse("density@0.5"), Features(0)).kept.tolist() == []


def scored(features: Features, *scores: float) -> Features:
    return dataclasses.replace(features, clip_scores=np.array(scores, np.float32))


LOW = (0.1, 0.2, 0.3, np.nan, 0.3, 0.3, 0.3, 0.3, 0.3, 0.19)


def test_samples_that_score_too_low_or_not_at_all_go_before_the_target_is_counted(ladder: Features) -> None:
    recipe = Recipe.parse("prototypes@0.5:cls_bal_ratio=0:min_clip_score=0.2")
    chosen = select(recipe, scored(ladder, *LOW))
    assert chosen.kept.sum() == 4  # the half of seven, not of ten
    assert np.flatnonzero(chosen.kept).tolist() == [5, 6, 7, 8]
    assert np.flatnonzero(chosen.rule == Rule.FILTERED).tolist() == [0, 3, 9]
    words = reasons(chosen, recipe)
    assert words[0] == "dropped: CLIP score 0.100, below 0.2 (min_clip_score)"
    assert words[3] == "dropped: it has no text to score its picture by, and at least 0.2 (min_clip_score) is asked"
    assert words[8].startswith("kept: 1st hardest")


def test_a_score_that_all_reach_changes_nothing(ladder: Features) -> None:
    plain = select(Recipe.parse(PLAIN), ladder)
    least = select(Recipe.parse(f"{PLAIN}:min_clip_score=-1"), scored(ladder, *[0.0] * 10))
    assert np.array_equal(plain.kept, least.kept)
    assert least.clip_scores is None


def test_verdicts_and_subsets_kept_whole_come_before_the_score(ladder: Features) -> None:
    keep, drop = np.zeros(10, bool), np.zeros(10, bool)
    keep[0], drop[9] = True, True
    subsets = np.array(["train"] * 8 + ["test"] * 2)
    chosen = select(
        Recipe.parse("prototypes@0.5:cls_bal_ratio=0:min_clip_score=0.2:subsets=train"),
        scored(ladder, *LOW[:8], 0.0, 0.0),
        subsets,
        forced_keep=keep,
        forced_drop=drop,
    )
    assert chosen.rule[[0, 3, 8, 9]].tolist() == [Rule.PINNED, Rule.FILTERED, Rule.WHOLE, Rule.BARRED]
    assert chosen.kept[:8].sum() == 4
    assert chosen.kept[0]


def test_a_least_score_is_refused_without_scores_and_where_nothing_reaches_it(ladder: Features) -> None:
    with pytest.raises(EspalierError, match=r"min_clip_score needs CLIP scores.*two-tower encoder"):
        kept(ladder, f"{PLAIN}:min_clip_score=0.2")
    with pytest.raises(EspalierError, match=r"No sample has a CLIP score of 0\.9 or more.*highest is 0\.300"):
        kept(scored(ladder, *LOW), f"{PLAIN}:min_clip_score=0.9")
    with pytest.raises(EspalierError, match="no sample has a picture and a text"):
        kept(scored(ladder, *[np.nan] * 10), f"{PLAIN}:min_clip_score=0.2")
    with pytest.raises(UsageError, match="n8 asks for more than the 7 samples that reach pruning"):
        kept(scored(ladder, *LOW), "prototypes@n8:min_clip_score=0.2")
