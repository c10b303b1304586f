"""ndr as a prune method: what is left out are near duplicates first, and the count is the recipe's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import Features, Ndr
from espalier.core.prune.reasons import reasons
from espalier.core.prune.select import needs, select
from espalier.core.recipe import Recipe
from espalier.core.rng import generator


@pytest.fixture
def planted() -> Features:
    """Sixty distinct grids, the last thirty rows near copies of the first thirty."""
    rng = generator(0, "planted")
    grids = rng.integers(0, 60_000, (60, 243))
    copies = grids[:30] + rng.integers(0, 300, (30, 243))
    return Features(90, grids=np.concatenate([grids, copies]).astype(np.uint16))


def rng(seed: int = 0) -> np.random.Generator:
    return generator(seed, "test")


def test_duplicates_go_before_anything_else_does(planted: Features) -> None:
    chosen = Ndr()(planted, target=60, rng=rng())
    pairs = np.flatnonzero(chosen.kept) % 60
    assert chosen.kept.sum() == 60
    assert len(np.unique(pairs)) == 60
    assert np.bincount(chosen.group).tolist() == [60, 30]


def test_the_ratio_is_what_is_kept(planted: Features) -> None:
    """Datumaro's ``prune -m ndr`` keeps 1 - ratio, and at a ratio of 1 it removes duplicates all the same."""
    for ratio, kept in ((0.8, 72), (0.2, 18), (1.0, 90)):
        assert select(Recipe.parse(f"ndr@{ratio}"), planted).kept.sum() == kept


def test_seed_nought_is_a_seed_like_any_other(planted: Features) -> None:
    """Datumaro's plugin ignores ``seed=0``: three runs keep three different sets."""
    runs = [select(Recipe.parse("ndr@0.5:seed=0"), planted).kept for _ in range(3)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] == runs[2]).all()
    assert (select(Recipe.parse("ndr@0.5:seed=1"), planted).kept != runs[0]).any()


def test_over_sampling_by_similarity_brings_the_least_similar_back(planted: Features) -> None:
    chosen = Ndr(over_sample="similarity")(planted, target=70, rng=rng())
    back = chosen.kept & (chosen.group == 1)
    gone = ~chosen.kept
    likeness = 2.0 * chosen.kept - chosen.score
    assert back.sum() == 10
    assert likeness[back].max() <= likeness[gone].min()


def test_under_sampling_keeps_the_count(planted: Features) -> None:
    for how in ("uniform", "inverse"):
        assert Ndr(under_sample=how)(planted, target=7, rng=rng()).kept.sum() == 7


def test_the_working_subset_is_pruned_and_the_others_stay_whole(planted: Features) -> None:
    names = np.repeat(["test", "train"], [10, 80])
    recipe = Recipe.parse("ndr@0.25:working_subset=train")
    chosen = select(recipe, planted, names)
    assert needs(recipe) == {"grids", "subsets"}
    assert chosen.kept[:10].all()
    assert chosen.kept[10:].sum() == 20
    with pytest.raises(UsageError, match="working_subset and subsets say the same"):
        Recipe.parse("ndr@0.25:working_subset=train:subsets=train")


def test_each_subset_is_pruned_by_itself_when_asked(planted: Features) -> None:
    """The copies of the first thirty samples are in another subset: there they are no copies."""
    names = np.where(np.arange(90) < 60, "train", "test")
    pooled = select(Recipe.parse("ndr@n60"), planted, names)
    assert np.bincount(pooled.group).tolist() == [60, 30]
    recipe = Recipe.parse("ndr@n60:per_subset=true")
    chosen = select(recipe, planted, names)
    assert str(recipe) == "ndr@n60:per_subset=true"
    assert needs(recipe) == {"grids", "subsets"}
    assert np.bincount(chosen.group).tolist() == [90]
    assert [chosen.kept[names == name].sum() for name in ("train", "test")] == [40, 20]
    with pytest.raises(EspalierError, match="leave per_subset out"):
        select(recipe, planted)


def test_per_subset_is_within_the_subsets_that_are_pruned(planted: Features) -> None:
    names = np.repeat(["a", "b", "c"], 30)
    chosen = select(Recipe.parse("ndr@0.5:per_subset=true:subsets=a+b"), planted, names)
    assert [chosen.kept[names == name].sum() for name in "abc"] == [15, 15, 30]


def test_how_pairs_were_sought_is_told(planted: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.parse("ndr@n60")
    assert select(recipe, planted).measured["pair_search"] == "exact"
    monkeypatch.setattr("espalier.core.dedup.near.neighbours.EXACT_LIMIT", 50)
    told = select(recipe, planted).measured
    assert (told["pair_search"], told["pair_recall"], told["pairs_checked"]) == ("index", 1.0, 30)


def test_the_reasons_tell_duplicates_from_distinct_samples(planted: Features) -> None:
    recipe = Recipe.parse("ndr@n60:duplicated_subset=twins")
    words = reasons(select(recipe, planted), recipe)
    assert (np.strings.find(words, "which keeps none of 30") > 0).sum() == 30
    assert (np.strings.find(words, "near duplicates (subset twins)") > 0).sum() == 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ndr@0.5:num_cut=30", r"write ndr@n1234"),
        ("ndr@0.5:block_shape=16x16", r"block_shape=16x16 is not valid.*9x9"),
        ("ndr@0.5:block_shape=8", r"block_shape=8 is not valid"),
        ("ndr@0.5:sim_threshold=0", r"sim_threshold=0.0 .*above 0 and at most 1"),
        ("ndr@0.5:hash_dim=64", r"hash_dim=64 has no effect with under_sample=uniform"),
        ("ndr@0.5:under_sample=inverse:hash_dim=0", r"hash_dim=0 .*at least 1"),
        ("ndr@0.5:algorithm=phash", r"algorithm takes gradient"),
        ("ndr@0.5:working_subset=duplicated", r"are both 'duplicated'"),
        ("ndr@0.5:space=hash", r"no parameter 'space'"),
        ("ndr@0.5:per_subset=yes", r"per_subset takes true | false"),
        ("ndr@0.5:per_subset=true:subsets=train", r"per_subset has no effect on one subset"),
        ("ndr@0.5:per_subset=true:working_subset=train", r"per_subset has no effect on one subset"),
    ],
)
def test_parameters_that_cannot_be_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Recipe.parse(text)


def test_unknown_subsets_are_refused_with_those_there_are(planted: Features) -> None:
    with pytest.raises(UsageError, match=r"no subset 'training'.*test, train"):
        select(Recipe.parse("ndr@0.5:working_subset=training"), planted, np.repeat(["test", "train"], [10, 80]))


def test_the_method_works_without_a_recipe(features_of: Callable[..., Features]) -> None:
    assert Ndr()(features_of(40), target=11, rng=rng()).kept.sum() == 11
