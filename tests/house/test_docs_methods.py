"""docs/methods.md: its code runs as it stands, and no method or parameter is missing from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from espalier.core.prune import METHODS
from espalier.core.prune.scope import Scope
from espalier.core.recipe import Recipe, fields_of

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


def test_the_library_example_runs_as_it_stands() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert "Density(temperature=0.1)(features, target=280" in blocks[0]
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/methods.md", "exec"), names)  # one page, one namespace


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_section_that_names_its_parameters(name: str) -> None:
    found = re.search(rf"^## {name}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/methods.md has no section {name!r}"
    missing = [p for p in fields_of(METHODS[name]) if not re.search(rf"`{p}\b", found[1])]
    assert missing == []
    assert "Cost" in found[1] or "costs" in found[1]


def test_what_query_clust_can_cluster_is_explained() -> None:
    choices = get_args(fields_of(METHODS["query_clust"])["hash"].kind)
    assert [choice for choice in choices if f"| `{choice}` |" not in PAGE] == []


def test_the_shared_parameters_are_explained() -> None:
    assert [p for p in fields_of(Scope) if f"| `{p}` |" not in PAGE] == []


def test_every_recipe_on_the_page_can_be_read() -> None:
    recipes = re.findall(r"`([a-z_]+@[^`\s]+)`", PAGE)
    assert len(recipes) >= 3
    for text in recipes:
        if text != "density@0.5:seed=3":  # the example of a refusal
            Recipe.parse(text)
