"""How long the command line takes to end after its last word, as it is and as Python ends by itself.

    python benchmarks/bench_exit.py [--repeat 5]

Each is a whole ``espalier prune`` of sixty small pictures in a fresh home.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ENTRIES = {
    "at once": ["-m", "espalier.cli"],
    "by itself": ["-c", "from espalier.cli.main import main; main()"],
}


def seconds_to_end(entry: list[str], pictures: Path) -> float:
    """Return the seconds from the last line of a prune to the end of its process."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"ESPALIER_HOME": f"{home}/home"}
        command = [sys.executable, *entry, "prune", str(pictures), "--name", "set", "-m", "density", "-r", "0.5"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            for line in process.stdout:
                if line.startswith("manifest:"):
                    said = time.perf_counter()
        assert process.returncode == 0
        return time.perf_counter() - said


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(60):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(f"{folder}/{number:02}.png")
        seconds: dict[str, list[float]] = {name: [] for name in ENTRIES}
        for _ in range(arguments.repeat):
            for name, entry in ENTRIES.items():
                seconds[name].append(seconds_to_end(entry, Path(folder)))
    ours, python = (statistics.median(seconds[name]) for name in ENTRIES)
    print(f"{ours:.2f} s at once, {python:.2f} s by itself, ratio {ours / python:.2f}")


if __name__ == "__main__":
    main()
