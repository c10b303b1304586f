"""The whole chain on many rows: captions with vectors of their own, from files to a manifest, by the command line.

    python benchmarks/bench_scale.py [--rows 1000000] [--dim 256]

Made data, so that it needs no download: a Parquet table of distinct captions, and unit vectors around 2,000 centres of
which a tenth are planted copies. Prints the seconds of each stage, of the whole, and the peak memory of all processes
together (Linux). Of pictures this measures everything but reading and encoding them: see bench_scan, bench_encoders,
and ``bench_near --index`` for their near duplicates.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_chain import stage_seconds

BLOCK = 100_000
CENTRES, COPIES = 2000, 0.1
WORDS = "red green blue large small dog cat tree house river mountain street person car boat".split()


def make(folder: Path, rows: int, dim: int) -> tuple[Path, Path]:
    """Write the table and the vectors; return their folders."""
    data, vectors = folder / "data", folder / "vectors"
    data.mkdir()
    vectors.mkdir()
    rng = np.random.default_rng(0)
    ids = [f"{row:09d}" for row in range(rows)]
    picked = rng.integers(0, len(WORDS), (rows, 4))
    captions = [f"{' '.join(WORDS[w] for w in some)}, number {row}" for row, some in enumerate(picked)]
    pq.write_table(pa.table({"key": ids, "caption": captions}), data / "part.parquet", row_group_size=50_000)
    np.save(vectors / "ids.npy", np.array(ids))
    out = np.lib.format.open_memmap(vectors / "v.npy", "w+", np.float32, (rows, dim))
    centres = rng.normal(size=(CENTRES, dim)).astype(np.float32)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        block = centres[rng.integers(0, CENTRES, n)] + rng.normal(size=(n, dim)).astype(np.float32)
        copies = int(n * COPIES)
        if start:
            block[:copies] = out[start - BLOCK : start - BLOCK + copies] + 0.01 * rng.normal(size=(copies, dim))
        out[start : start + n] = block / np.linalg.norm(block, axis=1, keepdims=True)
    out.flush()
    return data, vectors


def memory(pid: int) -> int:
    """Return the bytes of a process and its children that are not shared with files."""
    try:
        size = [int(x) for x in Path(f"/proc/{pid}/statm").read_text().split()]
        children = [c for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return 0
    return (size[1] - size[2]) * os.sysconf("SC_PAGE_SIZE") + sum(memory(int(child)) for child in children)


def watched(*command: str) -> tuple[bytes, float, int]:
    """Run ``python -m espalier.cli ...``; return what it printed, the seconds, and the peak of its memory."""
    peak, began = 0, time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "espalier.cli", *command], stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.1)
        assert process.stdout is not None
        told = process.stdout.read()
    assert process.returncode == 0, command
    return told, time.perf_counter() - began, peak


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        os.environ["ESPALIER_HOME"] = str(home)
        data, vectors = make(Path(name), arguments.rows, arguments.dim)
        _, seconds, peak = watched("land", str(data), "--name", "many", "--embeddings", str(vectors), "--json")
        print(f"{arguments.rows:,} rows x {arguments.dim}: landed in {seconds:.1f} s, {peak >> 20:,} MiB")
        told, seconds, peak = watched("prune", "many", "-m", "density", "-r", "0.3", "--json")
        found = json.loads(told)
        for stage, took in sorted(
            stage_seconds(home, found["runs"]).items(), key=lambda item: found["ran"].index(item[0])
        ):
            print(f"  {stage:<20} {took:7.1f} s")
        print(f"kept {found['n_kept']:,} of {found['n_total']:,}, {found['n_semantic']:,} semantic duplicates")
        print(f"whole run {seconds:.1f} s, peak memory {peak >> 20:,} MiB")
        _, again, _ = watched("prune", "many", "-m", "random", "-r", "0.5", "--json")
        print(f"a second recipe {again:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
