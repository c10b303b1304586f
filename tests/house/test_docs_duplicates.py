"""docs/duplicates.md: the options of the search for semantic duplicates, with the defaults that they have."""

from pathlib import Path

import pytest

from espalier.stages.options import StageOptions
from espalier.stages.semantic_dedup_set import ROWS_A_CLUSTER

PAGE = (Path(__file__).parents[2] / "docs" / "duplicates.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["semantic_k", "n_probe"])
def test_an_option_of_the_search_is_explained_with_its_default(name):
    assert f"| `{name}` | {getattr(StageOptions(), name)} | " in PAGE


def test_the_rule_for_the_number_of_fine_clusters_is_that_of_the_code():
    assert f"every {ROWS_A_CLUSTER:,} embedded samples, `round(n / {ROWS_A_CLUSTER})`" in PAGE
