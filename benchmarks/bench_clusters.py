"""Clustering beside faiss and scikit-learn: seconds, mean cosine to the nearest centroid, peak memory.

    python benchmarks/bench_clusters.py                     # 20,000 x 512, k = 6,000: ours and faiss
    python benchmarks/bench_clusters.py --case many-rows    # 200,000 x 512, k = 500: ours and faiss
    python benchmarks/bench_clusters.py --sides ours faiss sklearn     # minutes: scikit-learn is slow here
    python benchmarks/bench_clusters.py --case huge --sides ours       # 200,000 x 512, k = 60,000: minutes
    python benchmarks/bench_clusters.py --n 20000 --groups 300 --k 1000

Rows are unit vectors around planted directions, groups of uneven size. Each side runs in a process of its own, on the
same rows; the peak includes the rows (400 MiB at 200,000). Figures are judged by the ratios of one run. On a machine
with other work ``--threads 1`` and the processor seconds tell more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed
from espalier.core.rng import generator

DIM = 512
CASES = {  # rows, groups, clusters, cosine of a row to its group's direction
    "many-clusters": (20_000, 300, 6_000, 0.7),
    "many-rows": (200_000, 500, 500, 0.6),
    "huge": (200_000, 2_000, 60_000, 0.7),
}


def planted(n: int, groups: int, cosine: float) -> np.ndarray:
    """Unit rows at about ``cosine`` to one of ``groups`` directions; sizes differ by a factor of about 20."""
    rng = generator(0, "planted", n, groups)
    directions = rng.standard_normal((groups, DIM), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rows = rng.standard_normal((n, DIM), dtype=np.float32)
    rows *= np.sqrt((1 / cosine**2 - 1) / DIM)
    rows += directions[rng.choice(groups, n, p=rng.dirichlet(np.full(groups, 2.0)))]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def by_ours(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    from espalier.core.kmeans import fit_kmeans

    return fit_kmeans(rows, k, rng=generator(seed, "fit")).centroids


def by_faiss(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    import faiss

    rounds = 38 if k <= 1000 else 20
    peer = faiss.Kmeans(DIM, k, niter=rounds, spherical=True, seed=seed + 1, max_points_per_centroid=len(rows))
    peer.train(rows)
    return peer.centroids


def by_sklearn(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    rounds = 20 if k <= 1000 else 300
    centres = KMeans(k, n_init=1, max_iter=rounds, random_state=seed).fit(rows).cluster_centers_
    return centres / np.linalg.norm(centres, axis=1, keepdims=True)


SIDES = {"ours": by_ours, "faiss": by_faiss, "sklearn": by_sklearn}


def run_side(side: str, case: tuple[int, int, int, float], seed: int) -> dict[str, float]:
    """Cluster once; the quality of each side is measured by the same search, outside its time."""
    from espalier.core.kmeans import assign

    n, groups, k, cosine = case
    rows = planted(n, groups, cosine)
    before = time.process_time()
    centroids, seconds = timed(lambda: SIDES[side](rows, k, seed))
    found = {"seconds": seconds, "cpu": time.process_time() - before, "peak_mib": peak_mib()}
    judged = rows[:: max(1, n * k // 5_000_000_000)]
    return found | {"mean_cosine": 1 - float(assign(judged, centroids)[1].mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="many-clusters")
    parser.add_argument("--n", type=int)
    parser.add_argument("--groups", type=int)
    parser.add_argument("--k", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["ours", "faiss"])
    parser.add_argument("--threads", type=int, help="threads of every side, all cores when not given")
    parser.add_argument("--one", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    n, groups, k, cosine = CASES[given.case]
    case = (given.n or n, given.groups or groups, given.k or k, cosine)
    if given.one:
        print(json.dumps(run_side(given.one, case, given.seed)))
        return
    print(f"{case[0]:,} x {DIM}, {case[1]:,} planted groups, k = {case[2]:,}", flush=True)
    environment = dict(os.environ)
    if given.threads:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(given.threads))
    results = {}
    for side in given.sides:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", side]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found = results[side] = json.loads(run.stdout.splitlines()[-1])
        print(
            f"{side:8s} {found['seconds']:8.2f} s ({found['cpu']:.2f} s of processor)   "
            f"mean cosine {found['mean_cosine']:.4f}   peak {found['peak_mib']:6.0f} MiB",
            flush=True,
        )
    for side in [s for s in given.sides if s != "ours" and "ours" in results]:
        times, cpu = (results[side][what] / results["ours"][what] for what in ("seconds", "cpu"))
        better = results["ours"]["mean_cosine"] / results[side]["mean_cosine"] - 1
        print(f"ours is {times:.1f} times as fast as {side} ({cpu:.1f} by processor), mean cosine {better:+.2%}")


if __name__ == "__main__":
    main()
