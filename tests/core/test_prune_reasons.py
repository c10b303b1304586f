"""The reasons in words: ordinals, groups, labels, and every rule."""

from __future__ import annotations

import numpy as np
import pytest

from espalier.core.prune import Clusters, Features, Labels
from espalier.core.prune.reasons import ordinals, reasons
from espalier.core.prune.select import select
from espalier.core.recipe import Recipe


def words(text: str, features: Features, **more: object) -> list[str]:
    recipe = Recipe.parse(text)
    return reasons(select(recipe, features, **more), recipe).tolist()


@pytest.fixture
def features() -> Features:
    """A cluster of twelve and one of two, harder with the row; cats and one dog."""
    assignment = np.repeat([0, 1], [12, 2]).astype(np.int32)
    labels = Labels(np.arange(15), np.array([1] + [0] * 13, np.int32), ("cat", "dog"))
    distance = (np.arange(14) / 20).astype(np.float32)
    clusters = Clusters(assignment, distance, np.array([12, 2]), np.array([0.1, 0.1]))
    return Features(14, vectors=np.eye(14, dtype=np.float32), clusters=clusters, labels=labels)


def test_ordinals_are_those_of_english() -> None:
    numbers = np.array([0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 21, 22, 23, 101, 111, 112, 113, 121, 1011, 1_000_003])
    assert (
        ordinals(numbers).tolist()
        == (
            "0th 1st 2nd 3rd 4th 10th 11th 12th 13th 14th 21st 22nd 23rd 101st 111th 112th 113th 121st 1011th 1000003rd"
        ).split()
    )


def test_a_cluster_is_named_with_what_it_keeps(features: Features) -> None:
    said = words("density@0.5:by=size", features)
    assert said[11] == "kept: 1st hardest of the 6 kept in cluster 0"
    assert said[8] == "kept: 4th hardest of the 6 kept in cluster 0"
    assert said[3] == "dropped: 9th hardest in cluster 0, which keeps 6 of 12"
    assert said[12] == "dropped: 2nd hardest in cluster 1, which keeps 1 of 2"


def test_a_cluster_that_keeps_all_or_none_says_so(features: Features) -> None:
    assert words("density@n14", features)[13] == "kept: 1st hardest in cluster 1, which keeps all 2"
    none = words("prototypes@n1:cls_bal_ratio=0:keep=easy", features)
    assert none[12] == "dropped: 1st easiest in cluster 1, which keeps none of 2"


def test_without_groups_the_place_is_among_all(features: Features) -> None:
    said = words("random@n4", features)
    assert sum(s.startswith("kept: drawn ") and s.endswith(" of the 4 kept") for s in said) == 4
    assert "dropped: drawn 5th; 4 of 14 are kept" in said
    picked = words("kcenter@n4", features)
    assert "kept: picked 1st of the 4 kept" in picked
    assert picked.count("dropped: never the farthest from those kept; 4 of 14 are kept") == 10


def test_labels_are_called_by_their_names(features: Features) -> None:
    said = words("balanced@n2", features)
    assert said[0] == "kept: drawn 1st in label dog, which keeps all 1"
    assert "kept: drawn 1st of the 1 kept in label cat" in said


def test_the_label_floor_says_what_it_did(features: Features) -> None:
    said = words("density@0.5:by=size:min_per_class=1", features)
    assert said[0] == (
        "kept: its label keeps at least 1 (min_per_class); 12th hardest in cluster 0, which keeps 6 of 12"
    )
    assert said[6] == ("dropped: gave way to a sample that must stay; 6th hardest in cluster 0, which keeps 6 of 12")


def test_subsets_and_verdicts_are_reasons_of_their_own(features: Features) -> None:
    keep, drop = np.arange(14) == 0, np.arange(14) == 1
    names = np.repeat(["train", "test"], 7)
    said = words("random@n3:subsets=train", features, subset_names=names, forced_keep=keep, forced_drop=drop)
    assert said[0] == "kept: by verdict"
    assert said[1] == "dropped: by verdict"
    assert said[7:] == ["kept: its subset is not pruned"] * 7


@pytest.mark.parametrize("text", ["density@0.5", "random@0.5", "balanced@0.5:min_per_class=1", "centroid@0.5"])
def test_every_reason_begins_with_the_fate(text: str, features: Features) -> None:
    recipe = Recipe.parse(text)
    selection = select(recipe, features)
    starts = np.strings.startswith(reasons(selection, recipe), "kept: ")
    assert (starts == selection.kept).all()
    assert np.strings.startswith(reasons(selection, recipe)[~selection.kept], "dropped: ").all()
