"""Explore: exact top-k over a million rows by Hamming and by cosine, and the approximate index.

Hamming stands beside the way Datumaro did it (unpack all bits, compare, argsort) and beside faiss's own binary
index; cosine beside one pass of BLAS over the same matrix. Data is random (the hardest case for ties and the
easiest to repeat); the approximate index is shown on grouped and on structureless hashes.

    python benchmarks/bench_explore.py [--rows 1000000] [--only hamming|cosine|approximate]
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks._measure import peak_mib, timed
from espalier.core.rng import generator
from espalier.core.search import Explorer

BITS, DIM, K = 512, 512, 50


def best_ms(fn, times=7):
    """The least of several times: whatever else runs on the machine only ever adds."""
    fn()
    return 1e3 * min(timed(fn)[1] for _ in range(times))


def hamming(n):
    import faiss

    hashes = generator(0, "hashes").integers(0, 256, (n, BITS // 8), dtype=np.uint8)
    queries = generator(1, "queries").integers(0, 256, (100, BITS // 8), dtype=np.uint8)
    explorer, build = timed(lambda: Explorer(hashes))
    index = faiss.IndexBinaryFlat(BITS)
    index.add(hashes)

    def unpack_compare_argsort(query):
        differing = np.count_nonzero(np.unpackbits(query) != np.unpackbits(hashes, axis=-1), axis=1)
        return np.argsort(differing, kind="stable")[:K]

    reference = unpack_compare_argsort(queries[0])
    plain = best_ms(lambda: unpack_compare_argsort(queries[0]), 5)
    ours = best_ms(lambda: explorer.topk(queries[0], K), 50)
    ours_100 = best_ms(lambda: explorer.search(queries, K), 3)
    fused = best_ms(lambda: explorer.topk(queries, K), 3)
    mean = best_ms(lambda: explorer.topk(queries[:4], K, fuse="mean"), 3)
    unique = best_ms(lambda: explorer.topk(queries[0], K, unique=True), 3)
    half = generator(2, "mask").random(n) < 0.5
    filtered = best_ms(lambda: explorer.topk(queries[0], K, where=half), 3)
    flat, flat_100 = best_ms(lambda: index.search(queries[:1], K), 50), best_ms(lambda: index.search(queries, K), 3)
    same = np.array_equal(explorer.topk(queries[0], K).row, reference)
    print(f"hamming, {n:,} x {BITS} bits, top {K}; explorer ready in {1e3 * build:.0f} ms")
    print(f"  one query            {ours:9.2f} ms   unpack-compare-argsort {plain:9.1f} ms   ratio {plain / ours:7.1f}")
    print(f"  one query            {ours:9.2f} ms   faiss IndexBinaryFlat  {flat:9.2f} ms   ratio {flat / ours:7.2f}")
    print(f"  100 queries          {ours_100:9.2f} ms   faiss IndexBinaryFlat  {flat_100:9.2f} ms")
    print(f"  100 fused, best      {fused:9.2f} ms   4 fused, mean {mean:.1f} ms   unique {unique:.1f} ms")
    print(f"  half filtered out    {filtered:9.2f} ms")
    print(f"  same rows in the same order as the reference: {same}; peak {peak_mib():,.0f} MiB")
    if not same:
        raise SystemExit("the results differ")


def beside_blas(explorer, vectors, queries, times):
    """Least milliseconds of one product with the whole matrix, and of ours; in turn, so that others slow both."""
    out = np.empty((len(queries), len(vectors)), np.float32)
    explorer.search(queries, K)
    runs = []
    for _ in range(times):
        blas = timed(lambda: np.matmul(queries, vectors.T, out=out))[1]
        runs.append((blas, timed(lambda: explorer.search(queries, K))[1]))
    return [1e3 * min(column) for column in zip(*runs, strict=True)]


def cosine(n):
    vectors = np.empty((n, DIM), np.float32)
    draw = generator(0, "vectors")
    for start in range(0, n, 50_000):
        block = vectors[start : start + 50_000]
        draw.standard_normal(out=block, dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    queries = vectors[:: n // 100][:100] + 0.02 * generator(1, "noise").standard_normal((100, DIM), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    data = peak_mib()
    explorer, build = timed(lambda: Explorer(vectors=vectors))
    print(f"cosine, {n:,} x {DIM}, top {K}; explorer ready in {1e3 * build:.0f} ms (rows checked), nothing copied")
    for count, times in ((1, 15), (100, 5)):
        blas, ours = beside_blas(explorer, vectors, queries[:count], times)
        print(f"  {count:3} queries  {ours:9.1f} ms   one BLAS pass {blas:9.1f} ms   ours / BLAS {ours / blas:5.2f}")
    fused = 1e3 * timed(lambda: explorer.topk(queries, K))[1]
    full = queries[:1] @ vectors.T
    close = set(np.argpartition(-full[0], K)[:K].tolist()) == set(explorer.topk(queries[0], K).row.tolist())
    print(f"  100 fused, best {fused:.0f} ms; same rows as argpartition: {close}")
    print(f"  peak {peak_mib():,.0f} MiB, of which data and its making {data:,.0f} MiB")


def simhashes(n, spread):
    draw = generator(0, "simhashes", str(spread))
    turn = draw.standard_normal((64, BITS), dtype=np.float32)
    centres = draw.standard_normal((2000, 64), dtype=np.float32)
    hashes = np.empty((n, BITS // 8), np.uint8)
    for start in range(0, n, 50_000):
        rows = min(50_000, n - start)
        x = draw.standard_normal((rows, 64), dtype=np.float32)
        if spread is not None:
            x = centres[draw.integers(0, 2000, rows)] + spread * x
        hashes[start : start + rows] = np.packbits(x @ turn > 0, axis=1)
    return hashes


def approximate(n, name, spread):
    hashes = simhashes(n + 1000, spread)
    explorer, queries = Explorer(hashes[:n]), hashes[n:]
    report, build = timed(lambda: explorer.build_index(0.95, k=K))
    (_, exact), exact_s = timed(lambda: explorer.search(queries, K))
    (_, found), found_s = timed(lambda: explorer.search(queries, K, approximate=True))
    held = float((found <= exact[:, -1:]).mean())
    print(
        f"approximate, {n:,} {name}: recall {report.recall:.3f} measured, {held:.3f} on 1,000 other queries; "
        f"{report.n_probes} of {report.n_lists} lists, {report.scanned:.1%} of the rows; {exact_s:.3f} -> "
        f"{found_s:.3f} ms a query, {exact_s / found_s:.1f} times faster; built in {build:.0f} s; "
        f"peak {peak_mib():,.0f} MiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--approximate-rows", type=int, default=500_000)
    parser.add_argument("--only", choices=["hamming", "cosine", "approximate"])
    args = parser.parse_args()
    if args.only in (None, "hamming"):
        hamming(args.rows)
    if args.only in (None, "cosine"):
        cosine(args.rows)
    if args.only in (None, "approximate"):
        for name, spread in (("grouped", 0.7), ("loosely grouped", 1.5), ("structureless", None)):
            approximate(args.approximate_rows, name, spread)


if __name__ == "__main__":
    main()
