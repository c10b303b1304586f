"""Small made-up datasets for the tests of the prune methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.prune import Clusters, Features, Labels
from espalier.core.rng import generator


def make_labels(per_sample: list[list[int]], names: tuple[str, ...]) -> Labels:
    """Labels from a list of codes a sample."""
    indptr = np.concatenate([[0], np.cumsum([len(codes) for codes in per_sample])]).astype(np.int64)
    return Labels(indptr, np.array([c for codes in per_sample for c in codes], np.int32), names)


def make_features(
    n: int,
    *,
    clusters: int = 4,
    dim: int = 8,
    n_labels: int = 3,
    labels: str = "one",
    copies: float = 0.0,
    seed: int = 0,
) -> Features:
    """Samples around ``clusters`` centres, some of them exact copies; ``labels``: one, some, several or none."""
    rng = generator(seed, "made-up", n, clusters, dim, labels)
    centres = rng.normal(size=(clusters, dim))
    assignment = rng.integers(0, clusters, n).astype(np.int32)
    vectors = centres[assignment] + 0.5 * rng.normal(size=(n, dim))
    same = np.flatnonzero(rng.random(n) < copies)
    vectors[same], assignment[same] = vectors[same[:1]], assignment[same[:1]]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    centres = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    many = {"one": (1, 1), "some": (0, 1), "several": (0, n_labels), "none": (0, 0)}[labels]
    counts = rng.integers(many[0], many[1] + 1, n)
    if labels != "none" and n:
        counts[0] = max(counts[0], 1)
    codes = [sorted(rng.choice(n_labels, c, replace=False).tolist()) for c in counts]
    return Features(
        n,
        vectors=vectors,
        hashes=np.packbits(vectors @ rng.normal(size=(dim, 64)) > 0, axis=1),
        text_hashes=rng.integers(0, 256, (n, 8)).astype(np.uint8),
        clusters=Clusters(
            assignment,
            np.clip(1 - np.einsum("ij,ij->i", vectors, centres[assignment]), 0, 2).astype(np.float32),
            np.bincount(assignment, minlength=clusters),
            rng.random(clusters) * 0.3,
            centres,
        ),
        labels=None if labels == "none" else make_labels(codes, tuple(f"label{i}" for i in range(n_labels))),
        grids=rng.integers(0, 65536, (n, 243)).astype(np.uint16),
        clip_scores=np.where(rng.random(n) < 0.9, rng.uniform(-0.1, 0.4, n), np.nan).astype(np.float32),
        subsets=np.array(["test", "train"])[rng.integers(0, 2, n)],
    )


@pytest.fixture(scope="session")
def features_of() -> Callable[..., Features]:
    """The factory :func:`make_features`."""
    return make_features


@pytest.fixture(scope="session")
def labels_of() -> Callable[..., Labels]:
    """The factory :func:`make_labels`."""
    return make_labels
