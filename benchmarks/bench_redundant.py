"""Redundant, uneven data: even classes after deduplication beside random over all files, at equal counts.

Makes a variant of a labelled dataset in a temporary folder: class sizes fall evenly from 450 to 45, each training image
comes with 0 to 6 lightly altered copies (fewer copies are likelier), the test subset stays whole. Lands it and lets
``espalier compare`` measure ``balanced`` and every method without labels at 10, 30 and 50 % of all training files,
beside random of the same size and beside random over all files. Where fewer samples are left after deduplication than
are asked for, a method keeps all of them.

Bars: ``balanced`` above random over all files by 8, 5 and 2 points of logistic-probe accuracy. The error printed beside
a gain is that of the draws; three seeds leave about 1.5 points of it, so ask for more seeds before reading small ones.

    python benchmarks/bench_redundant.py --data PATH/TO/cifar10_5k --encoder PATH/TO/model.xml
"""

import argparse
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _measure import timed
from PIL import Image, ImageEnhance

from espalier.core.prune import METHODS
from espalier.core.rng import generator

LARGEST, SMALLEST = 450, 45
MOST_COPIES = 6
FALL = 0.75  # each further copy is so much as likely as the one before it: 1.95 copies on average
SHARES = (0.1, 0.3, 0.5)
BARS = (8.0, 5.0, 2.0)
LABELLED = ("query_clust", "entropy", "balanced")


def altered(image: Image.Image, rng: np.random.Generator) -> bytes:
    """Return a light copy: moved by up to 2 pixels, brightness and contrast within 10 %, JPEG of quality 70 to 95."""
    dx, dy = rng.integers(-2, 3, 2).tolist()
    pixels = np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)), mode="edge")
    height, width = image.height, image.width
    moved = Image.fromarray(pixels[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width])
    moved = ImageEnhance.Brightness(moved).enhance(rng.uniform(0.9, 1.1))
    moved = ImageEnhance.Contrast(moved).enhance(rng.uniform(0.9, 1.1))
    out = io.BytesIO()
    moved.save(out, "JPEG", quality=int(rng.integers(70, 96)))
    return out.getvalue()


def build(data: Path, folder: Path, seed: int) -> tuple[int, int]:
    """Write the variant into ``folder``; return the number of originals and of training files."""
    classes = sorted(p.name for p in (data / "train").iterdir())
    sizes = np.linspace(LARGEST, SMALLEST, len(classes)).round().astype(int)
    weights = FALL ** np.arange(MOST_COPIES + 1)
    rng = generator(seed, "redundant")
    n_files = 0
    for name, size in zip(classes, sizes.tolist(), strict=True):
        place = folder / "train" / name
        place.mkdir(parents=True)
        files = sorted((data / "train" / name).iterdir())
        for file in [files[i] for i in np.sort(rng.permutation(len(files))[:size])]:
            content = file.read_bytes()
            (place / file.name).write_bytes(content)
            copies = int(rng.choice(len(weights), p=weights / weights.sum()))
            image = Image.open(io.BytesIO(content)).convert("RGB")
            for copy in range(copies):
                (place / f"{file.stem}_copy{copy}.jpg").write_bytes(altered(image, rng))
            n_files += 1 + copies
        target = folder / "test" / name
        target.mkdir(parents=True)
        for file in sorted((data / "test" / name).iterdir()):
            (target / file.name).write_bytes(file.read_bytes())
    return int(sizes.sum()), n_files


def compare(home: Path, folder: Path, encoder: str | None, methods: list[str], counts: list[int], seeds: int) -> dict:
    """Run ``espalier compare`` beside random over all files as a user would; return its JSON."""
    command = [
        sys.executable,
        "-m",
        "espalier.cli",
        "compare",
        str(folder),
        "--name",
        "redundant",
        "--json",
        "--raw-random",
    ]
    command += ["-m", ",".join(methods), "-r", ",".join(f"n{count}" for count in counts), "--seeds", str(seeds)]
    command += ["--option", f"encoder={encoder}"] if encoder else []
    done = subprocess.run(
        command, env=os.environ | {"ESPALIER_HOME": str(home)}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


def accuracy(recipe: dict) -> str:
    """Write a recipe's probe accuracy with its deviation."""
    probe = recipe["probe_accuracy"]
    return f"{probe['mean'] * 100:.1f}" + ("" if probe["std"] is None else f" ± {probe['std'] * 100:.1f}")


def report(found: dict, counts: list[int], asked: list[int]) -> bool:
    """Print the figures; return whether the bars hold."""
    by_name = {r["recipe"]: r for r in found["recipes"]}
    titles = ("random, all files", "random", "balanced", "gain", "bar")
    print(f"{'kept':>6}  {titles[0]:>17}  {titles[1]:>10}  {titles[2]:>10}  {titles[3]:>10} {titles[4]:>4}  unlabelled")
    holds = True
    for count, wanted, bar in zip(counts, asked, BARS, strict=True):
        here = [r for r in found["recipes"] if r["n_kept"] == count]
        free = [r for r in here if r["method"] not in (*LABELLED, "random", "raw_random")]
        best = max(free, key=lambda r: r["probe_accuracy"]["mean"])
        raw, plain, even = (by_name[f"{name}@n{count}"] for name in ("raw_random", "random", "balanced"))
        gain = 100 * (even["probe_accuracy"]["mean"] - raw["probe_accuracy"]["mean"])
        holds &= gain >= bar
        error = 100 * math.hypot(*((r["probe_accuracy"]["std"] or 0.0) / len(r["seeds"]) ** 0.5 for r in (raw, even)))
        beside = 100 * best["beside_random"]["difference"]
        all_left = f" (all that are left of {wanted:,})" if count < wanted else ""
        figures = (
            f"{accuracy(raw):>17}  {accuracy(plain):>10}  {accuracy(even):>10}  {gain:+.1f} ± {error:.1f} {bar:4.0f}"
        )
        print(f"{count:>6,}  {figures}  {best['method']} {accuracy(best)} ({beside:+.1f} beside random){all_left}")
    return holds


def main() -> int:
    """Build, land, compare, print; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with train/<class>/ and test/<class>/")
    parser.add_argument("--encoder", help="an encoder's spec [builtin]")
    parser.add_argument("--methods", help="methods to measure, separated by commas [balanced and all without labels]")
    parser.add_argument("--seeds", type=int, default=3, help="of every draw")
    parser.add_argument("--seed", type=int, default=0, help="of the variant")
    arguments = parser.parse_args()
    free = [name for name in METHODS if name not in LABELLED and name != "random"]
    methods = ["balanced", *(arguments.methods.split(",") if arguments.methods else free)]
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "redundant", Path(folder) / "home"
        n_originals, n_files = build(arguments.data, place, arguments.seed)
        print(f"{n_originals:,} originals, {n_files:,} training files")
        asked = [math.ceil(share * n_files) for share in SHARES]
        first, chain_s = timed(lambda: compare(home, place, arguments.encoder, ["balanced"], asked[:1], 1))
        left = first["n_train"]
        print(f"after deduplication {left:,} are left (chain and first comparison {chain_s:.0f} s)")
        counts = [min(count, left) for count in asked]
        found, wall = timed(lambda: compare(home, place, arguments.encoder, methods, counts, arguments.seeds))
        holds = report(found, counts, asked)
        for one in found["left_out"]:
            print(f"left out: {one['recipe']} {one['why']}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(f"{len(found['recipes'])} lines in {wall:.0f} s, peak {peak:,.0f} MiB")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
