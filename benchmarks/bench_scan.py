"""The scan of raw_dataset against a plain Pillow loop that opens, hashes and fully decodes each file.

    python benchmarks/bench_scan.py --data FOLDER [--threads 2] [--limit 5000]

Each side runs in a process of its own, so that the peak memory is its own; the page cache is warmed first. The scan
does more than the loop: it also makes the near-duplicate grid and the rows.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks._measure import peak_mib, timed


def listed(data: str, limit: int) -> list:
    from espalier.io.formats.read.image_folder import ImageFolder
    from espalier.io.landing.cards import Card

    samples = (sample for batch in ImageFolder(Card("bench", data)).batches(1024) for sample in batch)
    return list(islice(samples, limit))


def warm(samples: list) -> int:
    return sum(len(Path(sample.uri).read_bytes()) for sample in samples)


class Listed:
    """The samples of the benchmark, as a reader."""

    format = "image_folder"

    def __init__(self, samples: list) -> None:
        self.samples = samples

    def batches(self, size: int):
        for start in range(0, len(self.samples), size):
            yield self.samples[start : start + size]

    def categories(self):
        return []


def ours(samples: list, threads: int) -> int:
    from espalier.io.scanning.scan import scan

    return sum(batch.num_rows - batch["error"].null_count for batch in scan(Listed(samples), threads=threads))


def pillow(samples: list) -> int:
    import io

    from PIL import Image

    bad = 0
    for sample in samples:
        data = Path(sample.uri).read_bytes()
        hashlib.sha256(data).hexdigest()
        try:
            Image.open(io.BytesIO(data)).convert("RGB")
        except OSError:
            bad += 1
    return bad


def side(name: str, args: argparse.Namespace) -> None:
    samples = listed(args.data, args.limit)
    n_bytes = warm(samples)
    base = peak_mib()
    run = (lambda: pillow(samples)) if name == "pillow" else (lambda: ours(samples, args.threads))
    start = time.process_time()
    bad, seconds = timed(run)
    cpu = time.process_time() - start
    figures = {"n": len(samples), "bad": bad, "seconds": seconds, "cpu": cpu, "mib": peak_mib(), "before": base}
    print(json.dumps(figures | {"bytes": n_bytes}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--side", choices=["ours", "pillow"])
    args = parser.parse_args()
    if args.side:
        side(args.side, args)
        return
    found = {}
    for name in ("pillow", "ours", "pillow", "ours"):
        command = [sys.executable, __file__, "--side", name, "--data", args.data]
        command += ["--threads", str(args.threads), "--limit", str(args.limit)]
        out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if name not in found or out["seconds"] < found[name]["seconds"]:
            found[name] = out
    mine, plain = found["ours"], found["pillow"]
    print(f"{mine['n']} files, {mine['bytes'] / 2**20:.1f} MiB, best of 2 runs each")
    for label, one in ((f"scan, {args.threads} threads", mine), ("plain Pillow loop", plain)):
        rate, cpu = one["n"] / one["seconds"], one["cpu"] / one["n"] * 1e6
        memory = f"peak {one['mib']:.0f} MiB (before the work {one['before']:.0f})"
        print(f"{label:20} {rate:8.0f} images/s, {cpu:5.0f} us CPU each, unreadable {one['bad']}, {memory}")
    print(f"ratio {plain['seconds'] / mine['seconds']:.2f} (above 1: the scan is faster)")


if __name__ == "__main__":
    main()
