"""SemDeDup: speed beside plain numpy, memory of a very large cluster, and a million vectors within a budget.

    python benchmarks/bench_semdedup.py                  # one cluster of 12,000 x 512 beside plain numpy
    python benchmarks/bench_semdedup.py --cluster 100000 # one cluster, peak memory beyond its vectors
    python benchmarks/bench_semdedup.py --set 1000000 --memory 4GiB [--n-probe 3]

The plain way is that of the paper's code: the full similarity matrix, its upper triangle, the maximum of each column.
``--set`` plants 20 % semantic duplicates (cosine about 0.9 to 0.99), clusters by k-means, searches, resolves; it
prints the recall of planted pairs, and peak memory, which includes the pages of the memory-mapped vectors.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed
from espalier.core.dedup.semantic import eps_for_share, rank_positions, resolve, similar_pairs
from espalier.core.kmeans import fit_kmeans
from espalier.core.rng import generator

DIM, EPS = 512, 0.1
STEP = 65_536


def fill(out: np.ndarray, rng: np.random.Generator, centres: int) -> np.ndarray:
    """Rows around ``centres`` directions (cosine about 0.3 within one); the last fifth are near others.

    Returns the row that each of the last fifth is near to.
    """
    n = len(out)
    originals = n - n // 5
    means = rng.standard_normal((centres, DIM), dtype=np.float32)
    source = rng.integers(0, originals, n // 5)
    for start in range(0, n, STEP):
        for low, high in ((start, min(start + STEP, originals)), (max(start, originals), min(start + STEP, n))):
            if low >= high:
                continue
            rows = rng.standard_normal((high - low, DIM), dtype=np.float32)
            if low < originals:
                rows += 0.65 * means[rng.integers(0, centres, high - low)]
            else:
                spread = rng.uniform(0.1, 0.45, (high - low, 1)).astype(np.float32) / np.sqrt(DIM)
                rows = out[source[low - originals : high - originals]] + spread * rows
            out[low:high] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return source


def plain(vectors: np.ndarray) -> np.ndarray:
    similarity = vectors @ vectors.T
    return np.triu(similarity, 1).max(axis=0) <= 1 - EPS


def against_numpy(repeat: int) -> None:
    vectors = np.empty((12_000, DIM), np.float32)
    fill(vectors, np.random.default_rng(0), 1)
    assignment = np.zeros(len(vectors), np.int32)
    position = np.arange(len(vectors))

    def ours(rule: str) -> np.ndarray:
        return resolve(similar_pairs(vectors, assignment, floor=1 - EPS), position, eps=EPS, rule=rule).kept

    mine = theirs = np.inf
    for _ in range(repeat):
        kept, seconds = timed(lambda: ours("paper"))
        mine = min(mine, seconds)
        reference, seconds = timed(lambda: plain(vectors))
        theirs = min(theirs, seconds)
    print(f"one cluster of {vectors.shape[0]} x {DIM}, best of {repeat}: ours {mine:.2f} s, plain numpy {theirs:.2f} s")
    print(f"  {theirs / mine:.2f} times as fast; verdicts equal: {bool((kept == reference).all())}")


def one_cluster(n: int) -> None:
    vectors = np.empty((n, DIM), np.float32)
    fill(vectors, np.random.default_rng(0), 1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux)
    before = peak_mib()
    assignment = np.zeros(n, np.int32)
    similar, seconds = timed(lambda: similar_pairs(vectors, assignment, floor=1 - EPS))
    kept = resolve(similar, np.arange(n), eps=EPS).kept
    print(f"one cluster of {n} x {DIM}: {seconds:.1f} s, {len(similar.pairs)} pairs, kept {kept.sum()}")
    print(f"  peak {peak_mib():.0f} MiB, {peak_mib() - before:.0f} MiB beyond the vectors ({n * DIM * 4 >> 20} MiB)")


def whole_set(n: int, memory: int, k: int, n_probe: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "vectors.npy"
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, (n, DIM))
        source = fill(vectors, np.random.default_rng(0), 200)
        vectors.flush()
        vectors = np.load(path, mmap_mode="r")
        clusters, seconds = timed(
            lambda: fit_kmeans(vectors, k, rng=generator(0, "bench"), max_iter=5, train_rows=min(n, 40 * k))
        )
        print(f"{n} x {DIM}, 20 % planted duplicates; k-means with k {clusters.k}: {seconds:.1f} s")
        similar, seconds = timed(
            lambda: similar_pairs(
                vectors,
                clusters.assignment,
                floor=1 - EPS,
                centroids=clusters.centroids,
                n_probe=n_probe,
                memory=memory // 4,
            )
        )
        print(f"  similar pairs: {seconds:.1f} s, {similar.comparisons / (n * (n - 1) / 2):.4f} of all pairs compared")
        planted = np.arange(n - n // 5, n)
        cosine = np.concatenate(
            [
                np.einsum("ij,ij->i", vectors[planted[s : s + STEP]], vectors[source[s : s + STEP]])
                for s in range(0, len(planted), STEP)
            ]
        )
        wanted = cosine > 1 - EPS
        found = np.isin(source[wanted] * n + planted[wanted], similar.pairs.i * n + similar.pairs.j)
        print(f"  recall of planted pairs above {1 - EPS:g}: {found.mean():.4f} of {wanted.sum()} (n_probe {n_probe})")
        position = rank_positions(clusters.distance, "hard", rng=generator(0, "rank"))
        verdict, seconds = timed(lambda: resolve(similar, position, eps=EPS))
        print(f"  resolve: {seconds:.2f} s, kept {verdict.kept.sum()}")
        share, seconds = timed(lambda: eps_for_share(similar, position, target_share=0.9))
        print(f"  eps for a share of 0.9: {share.eps:.4f} in {seconds:.1f} s")
        limit = memory / 2**20
        print(
            f"  peak {peak_mib():.0f} MiB of {limit:.0f} MiB: {'within' if peak_mib() <= limit else 'OVER'} the budget"
        )


def size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: write 4GiB or 500MiB")
    return int(float(match[1]) * {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[match[2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", type=int, metavar="N", help="one cluster of N vectors")
    parser.add_argument("--set", type=int, metavar="N", dest="rows", help="a whole set of N vectors")
    parser.add_argument("--memory", type=size, default=size("4GiB"))
    parser.add_argument("-k", type=int, help="clusters of --set (default: one for 500 rows)")
    parser.add_argument("--n-probe", type=int, default=2)
    parser.add_argument("--scratch", help="folder for the vectors of --set (default: the system's)")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    if args.cluster:
        one_cluster(args.cluster)
    elif args.rows:
        whole_set(args.rows, args.memory, args.k or max(1, args.rows // 500), args.n_probe, args.scratch)
    else:
        against_numpy(args.repeat)


if __name__ == "__main__":
    main()
