"""The prune methods' cost: at 1,000,000 samples in 500 clusters, as n grows, and centroid beside its peers.

python benchmarks/bench_methods.py clusters   methods that share quotas over clusters
python benchmarks/bench_methods.py growth     every method at 10,000, 100,000 and 1,000,000 samples
python benchmarks/bench_methods.py centroid   beside faiss.Kmeans; --sklearn adds scikit-learn's KMeans (minutes)
python benchmarks/bench_methods.py words      the reasons of 1,000,000 samples

Data are made up. Each line is measured in a process of its own; memory is that process's peak, data included.
"cpu" is the processor time of all threads, which a busy machine disturbs less than the wall clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from _measure import peak_mib, timed

from espalier.core.prune import METHODS, Clusters, Features, Labels
from espalier.core.prune.reasons import reasons
from espalier.core.prune.select import needs, select
from espalier.core.recipe import Recipe
from espalier.core.rng import generator

T = TypeVar("T")
BY_CLUSTER = ["random", "cluster_random", "density", "entropy", "prototypes", "stratified", "balanced"]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def mixture(n: int, dim: int, groups: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors round ``groups`` centres of uneven size, and the group of each."""
    rng = generator(0, "mixture", n, dim, groups)
    centres = unit(rng.standard_normal((groups, dim)))
    group = rng.choice(groups, n, p=rng.dirichlet(np.full(groups, 2.0))).astype(np.int32)
    rows = np.empty((n, dim), np.float32)
    for start in range(0, n, 65536):
        part = slice(start, start + 65536)
        noise = rng.standard_normal((len(group[part]), dim)) * (spread / dim**0.5)
        rows[part] = unit(centres[group[part]] + noise)
    return rows, group


def made_up(n: int, fields: frozenset[str], k: int = 500, dim: int = 64, classes: int = 100) -> Features:
    """A dataset with what ``fields`` name."""
    rng = generator(0, "bench", n)
    vectors, assignment = mixture(n, dim, k) if "vectors" in fields else (None, None)
    if assignment is None:
        assignment = rng.choice(k, n, p=rng.dirichlet(np.full(k, 2.0))).astype(np.int32)
    clusters = Clusters(
        assignment, rng.random(n, np.float32), np.bincount(assignment, minlength=k), rng.random(k) * 0.3
    )
    codes = rng.integers(0, classes, n).astype(np.int32)
    return Features(
        n,
        vectors=vectors,
        clusters=clusters,
        labels=Labels(np.arange(n + 1), codes, tuple(f"{c:03}" for c in range(classes))),
        grids=rng.integers(0, 65536, (n, 243), np.uint16) if "grids" in fields else None,
    )


def clocked(fn: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Call ``fn``; return its result, the seconds on the wall and those of the processor."""
    before = time.process_time()
    result, seconds = timed(fn)
    return result, {"seconds": seconds, "cpu": time.process_time() - before, "peak": peak_mib()}


def one(text: str, n: int) -> dict[str, float]:
    """Measure one recipe on n samples; called in a process of its own."""
    recipe = Recipe.parse(text)
    features = made_up(n, needs(recipe))
    selection, found = clocked(lambda: select(recipe, features))
    assert selection.kept.sum() == recipe.amount.target(n)
    return found


def apart(*arguments: str) -> dict[str, float]:
    """Run this script with ``arguments`` in a process of its own and read its last line."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def clusters(n: int) -> None:
    print(f"{n:,} samples, 500 clusters, 30 % kept; goal: each under 5 s")
    print(f"{'method':18}{'seconds':>9}{'cpu':>7}{'peak MiB':>10}")
    for name in BY_CLUSTER:
        found = apart("one", f"{name}@0.3", str(n))
        print(f"{name:18}{found['seconds']:9.2f}{found['cpu']:7.2f}{found['peak']:10.0f}")


def growth(sizes: list[int], budget: float) -> None:
    print(f"seconds (peak MiB) as n grows; 30 % kept, 500 clusters, 64 dimensions; '-': over {budget:g} s by forecast")
    print(f"{'method':16}" + "".join(f"{n:>20,}" for n in sizes))
    for name in METHODS:
        cells, last = [], None
        for n in sizes:
            grown = n / last[0] if last else 1
            forecast = last[1] * grown ** (2 if name in ("kcenter", "ndr") else 1.5) if last else 0
            if forecast > budget:
                cells.append("-")
                continue
            found = apart("one", f"{name}@0.3", str(n))
            last = (n, found["seconds"])
            cells.append(f"{found['seconds']:.2f} ({found['peak']:.0f})")
        print(f"{name:16}" + "".join(f"{cell:>20}" for cell in cells))


def closeness(vectors: np.ndarray, centres: np.ndarray) -> float:
    """Mean cosine of the vectors (every tenth beyond 50,000) to their nearest of the unit ``centres``."""
    vectors = vectors if len(vectors) <= 50_000 else vectors[::10]
    best = [(vectors[s : s + 2048] @ centres.T).max(axis=1) for s in range(0, len(vectors), 2048)]
    return float(np.concatenate(best).mean())


def one_centroid(side: str, n: int, target: int) -> dict[str, float]:
    vectors, _ = mixture(n, 512, 500)
    if side == "espalier":
        recipe = Recipe.parse(f"centroid@n{target}")
        selection, clock = clocked(lambda: select(recipe, Features(n, vectors=vectors)))
        centres = np.zeros((target, 512), np.float32)
        np.add.at(centres, selection.group, vectors)
        kept = selection.kept
        cell = unit(centres)
        own = -selection.score[kept]
        return {
            **clock,
            "centre": closeness(vectors, cell),
            "own": 1 - float(own.mean()),
            "sample": closeness(vectors, vectors[kept]),
        }
    if side == "faiss":
        import faiss

        model = faiss.Kmeans(512, target, niter=20, spherical=True, seed=1, max_points_per_centroid=10**9)
        _, clock = clocked(lambda: (model.train(vectors), model.index.search(vectors, 1)))
        centres = unit(model.centroids)
    else:
        from sklearn.cluster import KMeans

        model, clock = clocked(lambda: KMeans(n_clusters=target, n_init=1, random_state=0).fit(vectors))
        centres = unit(model.cluster_centers_)
    nearest = np.concatenate([(centres[s : s + 512] @ vectors.T).argmax(axis=1) for s in range(0, target, 512)])
    return {
        **clock,
        "centre": closeness(vectors, centres),
        "own": float(np.einsum("ij,ij->i", centres, vectors[nearest]).mean()),
        "sample": closeness(vectors, vectors[np.unique(nearest)]),
    }


def centroid(n: int, target: int, sides: list[str]) -> None:
    print(f"centroid: {n:,} x 512 unit vectors from 500 groups, target {target:,}")
    print("to centre: mean cosine of all to the nearest centre; own: of the kept to their centre;")
    print("to kept: of all to the nearest kept sample")
    print(f"{'':14}{'seconds':>9}{'ratio':>7}{'cpu':>8}{'ratio':>7}", end="")
    print(f"{'to centre':>11}{'own':>8}{'to kept':>9}{'peak MiB':>10}")
    ours = None
    for side in sides:
        found = apart("one_centroid", side, str(n), str(target))
        ours = ours or found
        print(
            f"{side:14}{found['seconds']:9.2f}{found['seconds'] / ours['seconds']:7.1f}"
            f"{found['cpu']:8.2f}{found['cpu'] / ours['cpu']:7.1f}{found['centre']:11.4f}"
            f"{found['own']:8.4f}{found['sample']:9.4f}{found['peak']:10.0f}"
        )


def one_words(n: int) -> dict[str, float]:
    recipe = Recipe.parse("density@0.3")
    selection = select(recipe, made_up(n, needs(recipe)))
    return clocked(lambda: reasons(selection, recipe))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["clusters", "growth", "centroid", "words", "one", "one_centroid", "one_words"])
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, help="samples [clusters, words: 1,000,000; centroid: 20,000]")
    parser.add_argument("--target", type=int, help="centroid: samples to keep [three tenths]")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--budget", type=float, default=60, help="growth: leave out what would take longer [60 s]")
    parser.add_argument("--sklearn", action="store_true", help="centroid: add scikit-learn (minutes)")
    parser.add_argument("--alone", action="store_true", help="centroid: ours only (for large n)")
    asked = parser.parse_args()
    if asked.part == "clusters":
        clusters(asked.n or 1_000_000)
    elif asked.part == "growth":
        growth(asked.sizes, asked.budget)
    elif asked.part == "centroid":
        n = asked.n or 20_000
        peers = [] if asked.alone else ["faiss", *(["scikit-learn"] if asked.sklearn else [])]
        centroid(n, asked.target or 3 * n // 10, ["espalier", *peers])
    elif asked.part == "words":
        found = apart("one_words", str(asked.n or 1_000_000))
        print(f"reasons of {asked.n or 1_000_000:,} samples: {found['seconds']:.2f} s, peak {found['peak']:.0f} MiB")
    elif asked.part == "one":
        print(json.dumps(one(asked.rest[0], int(asked.rest[1]))))
    elif asked.part == "one_centroid":
        print(json.dumps(one_centroid(asked.rest[0], int(asked.rest[1]), int(asked.rest[2]))))
    else:
        print(json.dumps(one_words(int(asked.rest[0]))))


if __name__ == "__main__":
    main()
