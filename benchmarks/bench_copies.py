"""Real copies: what the near stage finds at its default, on judged, planted and unlike pictures.

    python benchmarks/bench_copies.py [--copies CIFAR10_COPIES] [--planted PLANTED_DUPS] [--photos PHOTOS]

CIFAR10_COPIES holds ``images.tar`` (``test/CLASS/*.jpg``, ``train/CLASS/*.jpg``), ``truth.csv`` (judged pairs) and
``score.py``, which prints F1 by test picture and by pair; recall on the pairs that ciFAIR lists is printed beside it.
PLANTED_DUPS holds ``images/`` and ``ground_truth.json``; PHOTOS is a folder of pictures of which none is a copy. One
set of constants serves all. Prints seconds of each step and how far memory rises.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib
from benchmarks.bench_near import Truth
from espalier.core.dedup.near import Duplicates, find_verified_duplicates
from espalier.io.images.decode import inspect
from espalier.io.images.grid import GRID_SIDE, area_grid, grey_thumb


def read(file: Path) -> tuple[str, int, int, np.ndarray, np.ndarray]:
    data = file.read_bytes()
    info, rgb = inspect(data, GRID_SIDE)
    return hashlib.sha256(data).hexdigest(), info.width * info.height, len(data), area_grid(rgb), grey_thumb(rgb)


def search(name: str, files: list[Path], threads: int, **options) -> Duplicates:
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        codes, pixels, sizes, grids, thumbs = zip(*pool.map(read, files), strict=True)
    decoded, before, cpu = time.perf_counter(), peak_mib(), time.process_time()
    quality = (np.array(pixels), np.array(sizes))
    stacked = np.stack(thumbs).reshape(-1, 32, 32)
    found = find_verified_duplicates(np.array(codes), np.stack(grids), stacked, quality, threads=threads, **options)
    near, cpu = time.perf_counter() - decoded, time.process_time() - cpu
    print(
        f"{name}: {len(files)} pictures, decoded in {decoded - start:.1f} s, near stage {near:.1f} s (CPU {cpu:.1f} s)"
    )
    print(f"  {found.n_proposed} proposed, {found.n_verified} verified, {len(found.copies.i)} copies, ", end="")
    print(f"{len(found.similar.i)} similar, {(~found.kept).sum()} dropped")
    print(f"  memory rose from {before:.0f} to {peak_mib():.0f} MiB")
    return found


def judged(folder: Path, threads: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(folder / "images.tar") as tar:
            tar.extractall(place, filter="data")
        root = Path(place)
        files = sorted(root.glob("*/*/*.jpg"))
        ids = [file.relative_to(root).as_posix() for file in files]
        test = np.array([name.startswith("test/") for name in ids])
        found = search("copies", files, threads, places=test.astype(int), protected=test)
        across = found.copies.take(test[found.copies.i] != test[found.copies.j])
        pairs = [(ids[i], ids[j]) for i, j in zip(across.i, across.j, strict=True)]
        listing = root / "found.csv"
        listing.write_text("".join(f"{a},{b}\n" for a, b in pairs))
        command = [sys.executable, str(folder / "score.py"), str(listing), str(folder / "truth.csv")]
        print("  " + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    with (folder / "truth.csv").open(newline="") as file:
        truth = [row for row in csv.DictReader(file) if row["in_cifair"] == "1" and row["judgment"] == "1"]
    told = {frozenset(pair) for pair in pairs}
    hits = sum(frozenset((row["test"], row["train"])) in told for row in truth)
    print(f"  pairs of ciFAIR: {hits} of {len(truth)}, recall {hits / len(truth):.4f}")


def planted(folder: Path, threads: int) -> None:
    truth = Truth(folder)
    for flips in (False, True):
        found = search(f"planted, flips={flips}", truth.files, threads, flips=flips)
        print(f"  {truth.score(found.kept, flips)}")


def unlike(folder: Path, threads: int) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    found = search("photos", files, threads, flips=True)
    for i, j, similarity in zip(found.copies.i, found.copies.j, found.copies.similarity, strict=True):
        print(f"  {files[i]} {files[j]} {similarity:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (("copies", "judged pairs"), ("planted", "planted copies"), ("photos", "no copies")):
        parser.add_argument(f"--{name}", type=Path, help=f"folder with {what}")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    for folder, measure in ((args.planted, planted), (args.photos, unlike), (args.copies, judged)):
        if folder:
            measure(folder, args.threads)
    if not (args.copies or args.planted or args.photos):
        parser.error("give --copies, --planted or --photos")


if __name__ == "__main__":
    main()
