"""Regenerate with: make golden

The samples that every method keeps of one made-up dataset, as they were when somebody last looked at them.
A change here is a change of everybody's manifests: it belongs into the changelog.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from espalier.core.prune import METHODS, Clusters, Features, Labels
from espalier.core.prune.reasons import reasons
from espalier.core.prune.select import select
from espalier.core.recipe import Recipe
from espalier.core.rng import generator

FOLDER = Path(__file__).parent / "prune"
RECIPES = [
    "random@0.2",
    "random@0.2:seed=1",
    "cluster_random@0.2",
    "cluster_random@0.2:space=hash",
    "centroid@0.2",
    "query_clust@0.2",
    "query_clust@0.2:hash=txt",
    "query_clust@0.2:hash=both",
    "query_clust@0.2:pick=nearest",
    "entropy@0.2",
    "entropy@0.2:min_per_class=6",
    "ndr@0.2",
    "ndr@0.95:over_sample=similarity",
    "density@0.2",
    "density@0.2:keep=easy",
    "density@0.2:by=size:keep=random",
    "density@0.2:temperature=0.5",
    "prototypes@0.2",
    "prototypes@0.2:balance=label:keep=easy",
    "stratified@0.2:bins=5",
    "kcenter@0.2",
    "balanced@0.2",
    "balanced@0.2:mix=a-2",
]


def dataset() -> Features:
    """Ninety samples round five centres, ten of them copies; none, one or two labels each."""
    rng, n = generator(0, "golden"), 90
    centres = rng.normal(size=(5, 12))
    assignment = np.sort(rng.choice(5, n, p=[0.4, 0.25, 0.2, 0.1, 0.05])).astype(np.int32)
    vectors = centres[assignment] + 0.6 * rng.normal(size=(n, 12))
    vectors[80:] = vectors[70:80]
    assignment[80:] = assignment[70:80]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    centres = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    distance = 1 - np.einsum("ij,ij->i", vectors.astype(float), centres[assignment].astype(float))
    counts = np.array([1, 1, 2, 1, 0, 1, 1, 2, 1])[np.arange(n) % 9]
    codes = np.concatenate([(i % 3 + np.arange(c)) % 3 for i, c in enumerate(counts)]).astype(np.int32)
    grids = rng.integers(0, 60_000, (n, 243))
    grids[80:] = grids[70:80] + 5
    return Features(
        n,
        vectors=vectors,
        hashes=np.packbits(vectors @ rng.normal(size=(12, 32)) > 0, axis=1),
        text_hashes=rng.integers(0, 256, (3, 4)).astype(np.uint8)[np.arange(n) % 3],
        clusters=Clusters(
            assignment,
            distance.astype(np.float32),
            np.bincount(assignment, minlength=5),
            np.array([0.02, 0.1, 0.15, 0.2, 0.3]),
            centres,
        ),
        labels=Labels(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), codes, ("a", "b", "c")),
        grids=grids.astype(np.uint16),
    )


def outcome(text: str) -> dict[str, object]:
    recipe = Recipe.parse(text)
    selection = select(recipe, dataset())
    said = reasons(selection, recipe).tolist()
    return {
        "kept": np.flatnonzero(selection.kept).tolist(),
        "quota": selection.quota.tolist() if len(selection.quota) <= 20 else int(selection.quota.sum()),
        "first_reasons": said[:3],
    }


def file_of(text: str) -> Path:
    return FOLDER / f"{text.partition('@')[0]}.json"


def write(method: str) -> None:
    outcomes = {text: outcome(text) for text in RECIPES if text.partition("@")[0] == method}
    lines = [f"{json.dumps(text)}: {json.dumps(result)}" for text, result in outcomes.items()]
    (FOLDER / f"{method}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


@pytest.fixture(scope="module", autouse=True)
def golden_files() -> None:
    """Write the files anew when ``make golden`` asks for it."""
    if os.environ.get("ESPALIER_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        for method in METHODS:
            write(method)


def test_every_method_has_a_golden_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(METHODS)


@pytest.mark.parametrize("text", RECIPES)
def test_the_same_samples_are_kept_as_ever(text: str) -> None:
    assert outcome(text) == json.loads(file_of(text).read_text())[text]
