"""``kept N of M``: two counts of like things, and the samples that are kept whole beside them."""

from __future__ import annotations

import pytest

from espalier.core.prune.counts import kept_counts, kept_words


@pytest.mark.parametrize(
    ("recipe", "counts", "words"),
    [
        ("random@0.5", {"n_kept": 2487, "n_total": 4973, "n_whole": 0}, "2,487 of 4,973"),
        (
            "random@0.5:subsets=train",
            {"n_kept": 2737, "n_total": 4473, "n_whole": 500},
            "2,237 of 4,473 of train, and all 500 of the other subsets",
        ),
        (
            "ndr@1:working_subset=train",
            {"n_kept": 60, "n_total": 40, "n_whole": 20},
            "40 of 40 of train, and all 20 of the other subsets",
        ),
        ("random@0.5:subsets=train", {"n_kept": 5, "n_total": 10, "n_whole": 0}, "5 of 10 of train"),
        ("random@0.5:subsets=train+extra", {"n_kept": 5, "n_total": 10, "n_whole": 0}, "5 of 10 of extra and train"),
        ("random@0.5:subsets=c+a+b", {"n_kept": 5, "n_total": 10, "n_whole": 0}, "5 of 10 of a, b and c"),
        (
            "random@0.5:min_clip_score=0.2",
            {"n_kept": 8, "n_total": 15, "n_whole": 0, "n_filtered": 1300},
            "8 of 15 (1,300 more are below min_clip_score)",
        ),
        (
            "random@0.5:min_clip_score=0.2:subsets=train",
            {"n_kept": 18, "n_total": 15, "n_whole": 10, "n_filtered": 3},
            "8 of 15 of train, and all 10 of the other subsets (3 more are below min_clip_score)",
        ),
    ],
)
def test_what_a_recipe_kept_is_told_apart_from_what_it_keeps_whole(recipe, counts, words) -> None:
    summary = {"recipe": recipe, "n_filtered": 0, **counts}
    assert kept_words(summary) == words
    told = kept_counts(summary)
    assert told["n_kept_of_total"] + told["n_whole"] == told["n_kept"] == counts["n_kept"]
    assert told["n_kept_of_total"] <= told["n_total"] == counts["n_total"]


def test_the_summary_of_an_older_manifest_is_told_too() -> None:
    assert kept_words({"recipe": "random@0.5", "n_kept": 1, "n_total": 2, "n_whole": 0}) == "1 of 2"
