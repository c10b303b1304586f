"""Unit rows are promised to many functions; each refuses rows that are not, and takes those that are by rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.complexity import cluster_complexity
from espalier.core.dedup.semantic import rank_positions, resolve, resolve_directly, similar_pairs
from espalier.core.errors import EspalierError
from espalier.core.evaluate.cover import coverage, redundancy
from espalier.core.evaluate.probes import knn_accuracy
from espalier.core.hashing import as_vectors
from espalier.core.kmeans import assign, fit_kmeans
from espalier.core.linalg import UNIT_TOLERANCE, as_unit_rows, not_unit
from espalier.core.prune import Labels
from espalier.core.prune.kcenter import farthest_first
from espalier.core.prune.query_clust import representatives
from espalier.core.rng import generator
from espalier.core.search import Explorer

N, DIM = 24, 8
ONE = np.zeros(N, np.int32)
KEPT = np.arange(N) < 5
LABELS = Labels(np.arange(N + 1), np.zeros(N, np.int32), ("a",))


def rng() -> np.random.Generator:
    return generator(0, "unit rows")


def unit_rows(n: int = N) -> np.ndarray:
    rows = rng().standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


TAKES_UNIT_ROWS: dict[str, Callable[[np.ndarray], object]] = {
    "fit_kmeans": lambda x: fit_kmeans(x, 3, rng=rng()),
    "fit_kmeans from a start": lambda x: fit_kmeans(unit_rows(), N, rng=rng(), init=x),
    "assign rows": lambda x: assign(x, unit_rows(3)),
    "assign to centroids": lambda x: assign(unit_rows(), x),
    "cluster_complexity": lambda x: cluster_complexity(x, ONE, ONE.astype(np.float32)),
    "similar_pairs": lambda x: similar_pairs(x, ONE, floor=0.9),
    "similar_pairs with centroids": lambda x: similar_pairs(unit_rows(), ONE, floor=0.9, centroids=x, n_probe=2),
    "resolve_directly": lambda x: resolve_directly(x, ONE, np.arange(N), eps=0.1),
    "coverage": lambda x: coverage(x, KEPT),
    "redundancy": lambda x: redundancy(x, KEPT),
    "knn_accuracy, training": lambda x: knn_accuracy(x, ONE, unit_rows(), ONE),
    "knn_accuracy, test": lambda x: knn_accuracy(unit_rows(), ONE, x, ONE),
    "farthest_first": lambda x: farthest_first(x, 3),
    "representatives": lambda x: representatives(x, LABELS),
    "Explorer": lambda x: Explorer(vectors=x),
}


@pytest.mark.parametrize("name", TAKES_UNIT_ROWS)
@pytest.mark.parametrize("norm", [1.0009, 0.9991, 1.00002, 0.99998])
def test_a_row_that_is_not_of_unit_norm_is_refused_by_name(name: str, norm: float) -> None:
    rows = unit_rows()
    TAKES_UNIT_ROWS[name](rows)
    rows[17] *= np.float32(norm)
    with pytest.raises(EspalierError, match=f"row 17 has norm {norm}, not 1. Divide each row by its norm"):
        TAKES_UNIT_ROWS[name](rows)


def test_verdicts_do_not_hang_on_the_norm() -> None:
    """At norm 1.0009 a cosine of 0.9495 passed for one above 0.95, and one row dropped the other."""
    angle = np.arccos(0.9495)
    pair = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    position = rank_positions(np.zeros(2, np.float32), rng=rng())
    found = resolve(similar_pairs(pair.astype(np.float32), ONE[:2], floor=0.9), position, eps=0.05)
    assert found.kept.all()
    with pytest.raises(EspalierError, match=r"row 0 has norm 1\.0009"):
        similar_pairs((1.0009 * pair).astype(np.float32), ONE[:2], floor=0.9)


@pytest.mark.parametrize("dim", [3, 512, 1000, 40_000])
def test_rows_that_are_unit_but_for_rounding_are_taken(dim: int) -> None:
    """A float32 sum over a wide row may be off by more than the tolerance; the double one decides."""
    codes = rng().integers(0, 256, (50, -(-dim // 8)), np.uint8)
    wide = np.full((1, dim), dim**-0.5, np.float32)
    assert as_unit_rows(as_vectors(codes, dim)).shape == (50, dim)
    assert as_unit_rows(wide).shape == (1, dim)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, 1 + 2 * UNIT_TOLERANCE])
def test_all_rows_that_are_not_unit_are_told(wrong: float) -> None:
    rows = unit_rows()
    rows[[3, 20]] *= np.float32(wrong)
    assert not_unit(rows).tolist() == [3, 20]
