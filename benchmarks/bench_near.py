"""Near duplicates: quality and speed on a folder with planted copies, and the search among many features.

    python benchmarks/bench_near.py --data PLANTED_DUPS [--datumaro-python PYTHON] [--index 200000]

PLANTED_DUPS holds ``images/`` and ``ground_truth.json`` (groups of items with their transform, singletons). Prints F1
of dropped copies with and without flips, the margin between the least copy and the greatest stranger with the default
threshold in it, the time of each step from files to groups, and Datumaro's NDR on the same files in the same run,
when datumaro is importable here or in the interpreter given. ``--index N`` instead: time, recall against brute force
on a sample and memory among N made features.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed
from espalier.core.dedup.ndr import Ndr, ndr_features
from espalier.core.dedup.near import DEFAULT_THRESHOLD, find_duplicates, gradient_features, mirror_features
from espalier.io.images.decode import decode_rgb, inspect
from espalier.io.images.grid import GRID_SIDE, area_grid

NDR_SCRIPT = """
import json, os, sys, time
from datumaro import Dataset, DatasetItem, Image
from datumaro.plugins.ndr import NDR
files = json.load(sys.stdin)
items = [DatasetItem(id=os.path.basename(f), subset="train", media=Image.from_file(path=f)) for f in files]
start = time.perf_counter()
result = NDR(Dataset.from_iterable(items, media_type=Image), working_subset="train", seed=1)
kept = [item.id for item in result if item.subset == "train"]
print(json.dumps({"seconds": time.perf_counter() - start, "kept": kept}))
"""


class Truth:
    """The planted groups as arrays over the sorted files."""

    def __init__(self, folder: Path) -> None:
        truth = json.loads((folder / "ground_truth.json").read_text())
        self.files = sorted((folder / "images").iterdir())
        row = {file.name: place for place, file in enumerate(self.files)}
        self.group = np.full(len(self.files), -1)
        self.flip = np.zeros(len(self.files), bool)
        for number, group in enumerate(truth["groups"]):
            for item in group["items"]:
                self.group[row[item["file"]]] = number
                self.flip[row[item["file"]]] = item["transform"] == "hflip"

    def score(self, kept: np.ndarray, flips: bool) -> str:
        """F1 of dropped copies: all but one of each group should go, and no singleton."""
        right = missed = wrong = 0
        for number in range(self.group.max() + 1):
            members = (self.group == number) & (flips | ~self.flip)
            gone = int((~kept[members]).sum())
            right += min(gone, members.sum() - 1)
            missed += max(0, members.sum() - 1 - gone)
            wrong += max(0, gone - members.sum() + 1)
        singles = int((~kept[self.group < 0]).sum())
        f1 = 2 * right / (2 * right + missed + wrong + singles)
        return f"F1 {f1:.4f}, missed {missed}, singletons dropped {singles}"

    def margin(self, features: np.ndarray, flips: bool) -> tuple[float, float]:
        """Least similarity of a true copy and greatest of two strangers."""
        similarity = features @ features.T
        same = (self.group[:, None] == self.group) & (self.group[:, None] >= 0)
        turned = self.flip[:, None] != self.flip
        copies = similarity[same & ~turned & ~np.eye(len(same), dtype=bool)].min()
        strangers = similarity[~same & ~np.eye(len(same), dtype=bool)].max()
        if flips:
            mirrored = mirror_features(features) @ features.T
            copies = min(copies, mirrored[same & turned].min())
            strangers = max(strangers, mirrored[~same & ~np.eye(len(same), dtype=bool)].max())
        return float(copies), float(strangers)


def read(file: Path) -> tuple[str, int, int, np.ndarray]:
    data = file.read_bytes()
    info, rgb = inspect(data, GRID_SIDE)
    return hashlib.sha256(data).hexdigest(), info.width * info.height, len(data), area_grid(rgb)


def read_all(files: list[Path]) -> list[tuple[str, int, int, np.ndarray]]:
    return [read(file) for file in files]


def ours(files: list[Path], threads: int, flips: bool) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        # Chunks, as the scan takes them.
        chunks = pool.map(read_all, (files[start : start + 16] for start in range(0, len(files), 16)))
        codes, pixels, sizes, grids = zip(*chain.from_iterable(chunks), strict=True)
    decoded = time.perf_counter()
    stacked = np.stack(grids)
    found = find_duplicates(np.array(codes), stacked, (np.array(pixels), np.array(sizes)), flips=flips)
    done = time.perf_counter()
    steps = {"decode and grids": decoded - start, "features, search, groups": done - decoded, "all": done - start}
    return found.kept, stacked, steps


def planted(args: argparse.Namespace) -> None:
    truth = Truth(args.data)
    print(f"{len(truth.files)} files, {truth.group.max() + 1} groups, default threshold {DEFAULT_THRESHOLD}")
    ours(truth.files[:20], args.threads, flips=False)  # imports and first touches
    times = []
    for flips in (False, True):
        for _ in range(args.repeat):
            kept, grids, steps = ours(truth.files, args.threads, flips)
            times.append(steps)
        least, greatest = truth.margin(gradient_features(grids), flips)
        best = min(times, key=lambda steps: steps["all"])
        print(f"espalier near, flips={flips}: {truth.score(kept, flips)}")
        print(f"  least copy {least:.3f}, greatest stranger {greatest:.3f}, middle {(least + greatest) / 2:.3f}")
        print("  " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in best.items()))
    mine = min(steps["all"] for steps in times)
    print(f"peak memory {peak_mib():.0f} MiB")

    (features, images_time) = timed(lambda: ndr_features([decode_rgb(file.read_bytes()) for file in truth.files]))
    result, seconds = timed(lambda: Ndr()(features))
    print(f"espalier ndr (full decode, one thread): {truth.score(result.kept, False)}, {images_time + seconds:.2f} s")
    peer = args.datumaro_python or (sys.executable if importlib.util.find_spec("datumaro") else None)
    if peer is None:
        print("datumaro: not importable here; give --datumaro-python")
        return
    names = [str(file) for file in truth.files]
    runs = []
    for _ in range(args.repeat):
        out = subprocess.run(
            [peer, "-c", NDR_SCRIPT], input=json.dumps(names), capture_output=True, text=True, check=True
        )
        runs.append(json.loads(out.stdout.splitlines()[-1]))
    theirs = min(run["seconds"] for run in runs)
    left = set(runs[0]["kept"])
    print(f"datumaro NDR: {truth.score(np.array([file.name in left for file in truth.files]), False)}, {theirs:.2f} s")
    print(f"espalier near is {theirs / mine:.1f} times as fast as datumaro NDR (best of {args.repeat} each)")


def natural_grids(n: int, rng: np.random.Generator) -> np.ndarray:
    """Made images with the spectrum of photographs: (n, 243) float32."""
    frequency = np.fft.fftfreq(18) * 18
    radius = np.hypot(frequency[:, None], frequency[None])
    radius[0, 0] = np.inf
    out = np.empty((n, 9, 9, 3), np.float32)
    for start in range(0, n, 8192):
        m = min(8192, n - start)
        noise = np.fft.fft2(rng.standard_normal((m, 4, 18, 18), dtype=np.float32))
        field = np.fft.ifft2(noise / radius**1.3).real[:, :, :9, :9].astype(np.float32)
        field /= field.std((2, 3), keepdims=True) + 1e-6
        pixels = (field[:, :1] + 0.45 * field[:, 1:]).transpose(0, 2, 3, 1)
        contrast = rng.uniform(5000, 14000, (m, 1, 1, 1)).astype(np.float32)
        level = rng.uniform(20000, 45000, (m, 1, 1, 1)).astype(np.float32)
        out[start : start + m] = pixels * contrast + level
    return out.reshape(n, 243)


def index(args: argparse.Namespace) -> None:
    n, rng = args.index, np.random.default_rng(0)
    originals = natural_grids(n - n // 5, rng)
    source = rng.integers(0, len(originals), n // 5)
    noise = rng.standard_normal((n // 5, 243)) * rng.uniform(0, 2500, (n // 5, 1))
    grids = np.clip(np.concatenate([originals, originals[source] + noise]), 0, 65535).astype(np.uint16)
    del originals, noise
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux)
    before = peak_mib()
    found, seconds = timed(lambda: find_duplicates(np.arange(n), grids, method=args.method, threshold=0.66))
    search = found.search
    rows, owners = np.arange(n - n // 5, n), found.duplicate_of[n - n // 5 :]
    print(f"{n} features, {n // 5} planted noisy copies: {seconds:.1f} s, method {search.method}")
    print(f"  recall {search.recall:.4f} on {search.recall_pairs} true pairs of a sample (brute force)")
    print(f"  {search.comparisons / (n * (n - 1) / 2):.3f} of all pairs compared; dropped {(~found.kept).sum()}")
    print(f"  planted copies dropped {(~found.kept[rows]).mean():.4f}, to their source {(owners == source).mean():.4f}")
    print(f"  peak memory {peak_mib():.0f} MiB, {before:.0f} before the call; features {n / 512:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/ and ground_truth.json")
    parser.add_argument("--datumaro-python", help="an interpreter that can import datumaro and scipy")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--index", type=int, metavar="N", help="search among N made features instead")
    parser.add_argument("--method", default="auto", choices=["auto", "exact", "index"])
    args = parser.parse_args()
    if args.index:
        index(args)
    elif args.data:
        planted(args)
    else:
        parser.error("give --data or --index")


if __name__ == "__main__":
    main()
