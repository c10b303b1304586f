"""The methods that look at the vectors themselves: centroid, query_clust, kcenter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from espalier.core.errors import EspalierError
from espalier.core.prune import Centroid, Features, KCenter, Labels, QueryClust, kcenter
from espalier.core.prune.centroid import FLAT, fit_cells
from espalier.core.prune.kcenter import SCALE, farthest_first
from espalier.core.prune.query_clust import representatives
from espalier.core.rng import generator

Make = Callable[..., Features]
MakeLabels = Callable[..., Labels]


def unit(rows: object) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def rng() -> np.random.Generator:
    return generator(0, "test")


def plain_farthest_first(vectors: np.ndarray, target: int) -> list[int]:
    """The textbook loop on the same whole numbers: all distances, every round."""
    whole = np.rint(vectors * np.float32(SCALE)).astype(np.int64)
    picks = [int(np.argmax(vectors.astype(np.float64) @ vectors.astype(np.float64).mean(axis=0)))]
    apart = ((whole - whole[picks[0]]) ** 2).sum(axis=1)
    apart[picks[0]] = -1
    while len(picks) < target:
        picks.append(int(np.argmax(apart)))
        apart = np.minimum(apart, ((whole - whole[picks[-1]]) ** 2).sum(axis=1))
        apart[picks] = -1
    return picks


@pytest.mark.parametrize("block", [1, 7, 64, 1024])
def test_kcenter_picks_what_the_plain_algorithm_picks_whatever_the_block(
    block: int, features_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kcenter, "BLOCK", block)
    vectors = features_of(400, clusters=5, copies=0.3).vectors
    plain = plain_farthest_first(vectors, 400)
    for target in (1, 2, 60, 400):
        assert farthest_first(vectors, target)[0].tolist() == plain[:target]


def test_kcenter_tells_rows_opposite_to_its_first_pick_apart() -> None:
    """Rounded rows can be farther apart than 2; a bound of 2 made the two last ones tie."""
    angle = np.array([4.0021, 4.0021, 4.0021, 7.1391, 7.1346])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    assert plain_farthest_first(vectors, 2) == [0, 4]
    assert farthest_first(vectors, 5)[0].tolist() == plain_farthest_first(vectors, 5)
    scores = KCenter()(Features(5, vectors=vectors), target=2, rng=rng()).score
    assert scores.max() == 2.0


@pytest.mark.parametrize("seed", range(20))
def test_kcenter_picks_what_the_plain_algorithm_picks_among_rows_and_their_opposites(seed: int) -> None:
    draw = generator(seed, "opposites")
    half = unit(draw.standard_normal((40, int(draw.integers(2, 6)))))
    near = unit(half + 0.01 * draw.standard_normal(half.shape))
    vectors = np.concatenate([half, half[:20], -near, -half])
    assert farthest_first(vectors, 60)[0].tolist() == plain_farthest_first(vectors, 60)


def test_kcenter_ranks_in_the_order_of_picking_and_scores_by_distance(features_of: Make) -> None:
    features = features_of(300, clusters=4)
    chosen = KCenter()(features, target=40, rng=rng())
    picks = plain_farthest_first(features.vectors, 40)
    assert chosen.rank[picks].tolist() == list(range(1, 41))
    assert sorted(chosen.rank.tolist()) == list(range(1, 301))
    near = 1 - (features.vectors[picks[39]] @ features.vectors[picks[:39]].T).max()
    assert chosen.score[picks[39]] == pytest.approx(near, abs=2e-4)


def test_kcenter_covers_better_than_random(features_of: Make) -> None:
    vectors = features_of(2000, clusters=40, dim=16).vectors
    picks, gain, _ = farthest_first(vectors, 60)
    radius = (1 - vectors @ vectors[picks].T).min(axis=1).max()
    drawn = rng().choice(2000, 60, replace=False)
    assert radius < 0.8 * (1 - vectors @ vectors[drawn].T).min(axis=1).max()
    assert radius <= gain[-1] + 2e-4


def test_kcenter_takes_copies_only_when_nothing_else_is_left() -> None:
    vectors = unit([[1, 0], [1, 0], [1, 0], [0, 1], [-1, 0]])
    assert sorted(farthest_first(vectors, 3)[0].tolist()) == [0, 3, 4]
    assert sorted(farthest_first(vectors, 4)[0].tolist()) == [0, 1, 3, 4]


def test_centroid_keeps_the_nearest_sample_of_each_cell() -> None:
    near, far = [1, 0.01, 0], [1, 0.4, 0]
    vectors = unit([far, near, [1, -0.3, 0], [0, 0.02, 1], [0, 0.9, 1], [0, -0.8, 1]])
    chosen = Centroid()(Features(6, vectors=vectors), target=2, rng=rng())
    assert np.flatnonzero(chosen.kept).tolist() == [1, 3]
    assert np.unique(chosen.score).size > 2  # Datumaro compares bits with float centres: every member ties


def test_centroid_is_exact_when_copies_leave_fewer_distinct_vectors_than_cells() -> None:
    """Datumaro keeps 10 of 60 samples with 10 distinct hashes at a ratio of a half."""
    vectors = unit(generator(0, "copies").normal(size=(10, 6)))[np.arange(60) % 10]
    chosen = Centroid()(Features(60, vectors=vectors), target=30, rng=rng())
    assert chosen.kept.sum() == 30
    assert len(np.unique(np.flatnonzero(chosen.kept) % 10)) == 10
    assert set(np.bincount(np.flatnonzero(chosen.kept) % 10).tolist()) == {3}


def test_many_cells_are_found_in_two_levels_without_losing_closeness(features_of: Make) -> None:
    vectors = features_of(3000, clusters=60, dim=24).vectors
    k = FLAT + 188
    cell, distance = fit_cells(vectors, k, rng())
    assert len(np.unique(cell)) == k == cell.max() + 1
    centres = np.zeros((k, 24))
    np.add.at(centres, cell, vectors)
    own = np.einsum("ij,ij->i", unit(centres)[cell], vectors)
    assert np.abs((1 - own) - distance).max() < 0.02
    from espalier.core.kmeans import fit_kmeans

    flat = fit_kmeans(vectors, k, rng=rng())
    assert 1 - distance.mean() > 0.995 * flat.mean_cosine


def test_two_levels_survive_copies() -> None:
    vectors = unit(generator(0, "few").normal(size=(700, 6)))[np.arange(2800) % 700]
    chosen = Centroid()(Features(2800, vectors=vectors), target=1000, rng=rng())
    assert chosen.kept.sum() == 1000
    assert len(np.unique(np.flatnonzero(chosen.kept) % 700)) > 600


def test_the_representative_is_the_sample_nearest_to_the_mean_of_its_label(labels_of: MakeLabels) -> None:
    vectors = unit([[1, 0.5, 0], [1, 0, 0], [1, -0.5, 0], [0, 0, 1], [0, 0, 1]])
    labels = labels_of([[1], [1], [1], [2], [2]], ("absent", "a", "b"))
    assert representatives(vectors, labels).tolist() == [1, 3]


def test_a_label_that_comes_late_or_not_at_all_does_not_matter(labels_of: MakeLabels) -> None:
    """Datumaro's dictionary begins at label 1: label 0 after the others, or an unused class, is a ValueError."""
    vectors = unit(generator(0, "late").normal(size=(30, 5)))
    labels = labels_of([[2]] * 10 + [[1]] * 10 + [[0]] * 10, ("a", "b", "c", "unused"))
    chosen = QueryClust()(Features(30, vectors=vectors, labels=labels), target=10, rng=rng())
    assert chosen.kept.sum() == 10
    assert len(chosen.quota) == 3


def test_one_sample_may_stand_for_two_labels(labels_of: MakeLabels) -> None:
    vectors = unit([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    labels = labels_of([[0, 1], [], [2], []], ("a", "b", "c"))
    chosen = QueryClust(pick="nearest")(Features(4, vectors=vectors, labels=labels), target=2, rng=rng())
    assert chosen.quota.tolist() == [1, 1]


def test_both_hashes_together_are_clustered_as_datumaro_clusters_its_txt(labels_of: MakeLabels) -> None:
    """Pictures alone tell two groups, texts alone two others; joined they tell all four labels apart."""
    n = 40
    label = np.arange(n) % 4
    flips = generator(0, "both").random((n, 128)) < 0.05
    bits = np.concatenate([np.repeat(label[:, None] % 2, 64, 1), np.repeat(label[:, None] // 2, 64, 1)], axis=1) ^ flips
    features = Features(
        n,
        hashes=np.packbits(bits[:, :64], axis=1),
        text_hashes=np.packbits(bits[:, 64:], axis=1),
        labels=labels_of([[code] for code in label], ("a", "b", "c", "d")),
    )
    method = QueryClust(hash="both", pick="nearest")
    assert method.needs == {"labels", "hashes", "text_hashes"}
    chosen = method(features, target=8, rng=rng())
    assert chosen.quota.tolist() == [2, 2, 2, 2]
    for group in range(4):
        assert len(np.unique(label[chosen.group == group])) == 1
    alone = QueryClust(hash="txt", pick="nearest")(features, target=8, rng=rng())
    assert len(np.unique(label[alone.group == alone.group[0]])) > 1
    with pytest.raises(EspalierError, match=r"needs text_hashes.*use hash=img"):
        method(Features(n, hashes=features.hashes, labels=features.labels), target=8, rng=rng())


def test_query_clust_nearest_keeps_those_nearest_to_the_centre(labels_of: MakeLabels) -> None:
    vectors = unit([[1, 0.5, 0], [1, 0.01, 0], [1, -0.5, 0], [0, 0.6, 1], [0, 0.02, 1], [0, -0.6, 1]])
    labels = labels_of([[0]] * 3 + [[1]] * 3, ("a", "b"))
    chosen = QueryClust(pick="nearest")(Features(6, vectors=vectors, labels=labels), target=2, rng=rng())
    assert np.flatnonzero(chosen.kept).tolist() == [1, 4]


def test_query_clust_by_text_clusters_the_texts(labels_of: MakeLabels) -> None:
    """Datumaro looks the prompt up by label index where it is keyed by name: "a photo of a None" for all."""
    texts = np.repeat(np.array([[0, 0, 0, 0], [255, 255, 0, 255]], np.uint8), [9, 3], axis=0)
    labels = labels_of([[0]] * 9 + [[1]] * 3, ("common", "rare"))
    features = Features(12, text_hashes=texts, labels=labels)
    assert QueryClust(hash="txt").needs == {"labels", "text_hashes"}
    chosen = QueryClust(hash="txt")(features, target=8, rng=rng())
    assert chosen.quota.tolist() == [6, 2]
    with pytest.raises(EspalierError, match=r"text_hashes.*use hash=img"):
        QueryClust(hash="txt")(Features(12, labels=labels), target=8, rng=rng())


_ELSEWHERE = """
import sys, hashlib, numpy as np, faiss
faiss.omp_set_num_threads(int(sys.argv[1]))
from espalier.core.prune import Centroid, Features, KCenter
from espalier.core.rng import generator
x = generator(1, "x").normal(size=(4000, 96)); x /= np.linalg.norm(x, axis=1, keepdims=True)
features = Features(4000, vectors=x.astype(np.float32))
for method in (Centroid(), KCenter()):
    kept = method(features, target=900, rng=generator(2, "y")).kept
    print(hashlib.sha256(np.packbits(kept).tobytes()).hexdigest())
"""


def test_one_and_two_threads_keep_the_same_samples_in_processes_of_their_own() -> None:
    def run(threads: str) -> str:
        limits = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL")}
        return subprocess.run(
            [sys.executable, "-c", _ELSEWHERE, threads],
            env={**os.environ, **limits},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    one, two, again = run("1"), run("2"), run("2")
    assert one == two == again
    assert len(one.split()) == 2
