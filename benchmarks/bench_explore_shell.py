"""How long does `espalier explore` take from the shell, start to end, once a dataset has embeddings?

    python benchmarks/bench_explore_shell.py --data CIFAR10 [--times 5]

DATA is a folder of pictures in class folders. Each kind of question is asked as a process of its own; printed are the
median and the longest of several times, with the process's peak memory. The bar is 3 seconds on 5,000 pictures.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    data = args.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ESPALIER_HOME"] = str(Path(folder) / "home")
        ids = [r["sample_id"] for r in explore(str(data), "--query-img", str(next(data.rglob("*.jpg"))))["results"]]
        kinds = {
            "a sample": ("--query-item", ids[0]),
            "a picture of the dataset": ("--query-img", str(data / ids[0])),
            "words": ("--query-str", ids[0].split("/")[-2]),
            "three samples, one unlike, unique": ("--query-item", *ids[:3], "--not", ids[9], "--unique"),
            "words and a sample, by cosine": ("--query-str", "cat", "--query-item", ids[0], "--metric", "cosine"),
            "a sample, filtered": ("--query-item", ids[0], "--where", "width < 1000 and fate is not null"),
            "a sample, approximately": ("--query-item", ids[0], "--approximate"),
            "a sample, saved": ("--query-item", ids[0], "--overwrite", "-o", str(Path(folder) / "found")),
        }
        worst = 0.0
        for name, asked in kinds.items():
            explore(data.name, *asked)  # what is kept on the disk is kept now
            took = []
            for _ in range(args.times):
                start = time.perf_counter()
                explore(data.name, *asked)
                took.append(time.perf_counter() - start)
            worst = max(worst, statistics.median(took))
            print(f"  {name:36} median {statistics.median(took):5.2f} s, longest {max(took):5.2f} s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"slowest median {worst:.2f} s, bar {BAR} s, ratio {worst / BAR:.2f}; peak {peak:.0f} MiB, embedding included"
    )
    return int(worst > BAR)


def explore(*args: str) -> dict:
    command = [sys.executable, "-m", "espalier.cli", "explore", *args, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
