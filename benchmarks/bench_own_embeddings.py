"""Embeddings that are brought: aligned by id and read into the samples' order, beside plain numpy doing the same.

Makes 16-bit shards as clip-retrieval writes them, in an order of their own. The reference loads all shards, looks every
id up in a dict and normalises in float32. Each side is a process of its own; its peak memory is printed beside the size
of the result.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._measure import peak_mib, timed
from espalier.io.precomputed.embeddings import PrecomputedEmbeddings


def ids_of(n: int) -> list[str]:
    """Return the samples' ids, in their order."""
    return [f"{i // 10_000:05d}/{i:09d}.jpg" for i in range(n)]


def write(folder: Path, n: int, dim: int, shards: int) -> None:
    """Write shards of random vectors."""
    rng, ids = np.random.default_rng(0), ids_of(n)
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for number, rows in enumerate(np.array_split(rng.permutation(n), shards)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", rng.standard_normal((len(rows), dim)).astype(np.float16))
        pq.write_table(
            pa.table({"image_path": [ids[i] for i in rows]}), folder / "metadata" / f"metadata_{number}.parquet"
        )


def ours(folder: Path, n: int) -> np.ndarray:
    """Read by the library."""
    precomputed = PrecomputedEmbeddings(folder)
    return precomputed.gather(precomputed.align(pa.array(ids_of(n))), np.arange(n)).vectors


def plain(folder: Path, n: int) -> np.ndarray:
    """Read by numpy."""
    place = {name: row for row, name in enumerate(ids_of(n))}
    files = sorted((folder / "img_emb").iterdir(), key=lambda path: int(path.stem.split("_")[-1]))
    tables = sorted((folder / "metadata").iterdir(), key=lambda path: int(path.stem.split("_")[-1]))
    vectors = np.concatenate([np.load(path) for path in files]).astype(np.float32)
    names = [name for path in tables for name in pq.read_table(path)["image_path"].to_pylist()]
    out = np.empty_like(vectors)
    out[[place[name] for name in names]] = vectors
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def main() -> int:
    """Print the table; exit 1 when the vectors differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--side", choices=("ours", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        vectors, seconds = timed(lambda: {"ours": ours, "plain": plain}[arguments.side](arguments.folder, arguments.n))
        np.save(arguments.folder / f"{arguments.side}.npy", vectors[:: max(1, arguments.n // 1000)])
        print(seconds, peak_mib())
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder, arguments.n, arguments.dim, arguments.shards)
        result = arguments.n * arguments.dim * 4 / 2**20
        print(f"{arguments.n:,} x {arguments.dim}, 16 bits, {arguments.shards} shards; the result is {result:,.0f} MiB")
        took = {}
        for side in ("ours", "plain"):
            command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--n", str(arguments.n)]
            seconds, peak = map(float, subprocess.check_output(command, text=True).split())
            took[side] = seconds
            print(f"  {side:6} {seconds:6.2f} s, {arguments.n / seconds:10,.0f} vectors a second, peak {peak:,.0f} MiB")
        furthest = float(np.abs(np.load(folder / "ours.npy") - np.load(folder / "plain.npy")).max())
        print(f"  ours / plain {took['ours'] / took['plain']:.2f}; greatest difference {furthest:.1e}")
    return int(furthest > 1e-6)


if __name__ == "__main__":
    sys.exit(main())
