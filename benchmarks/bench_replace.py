"""How often a reader misses an export that is being replaced: folders that change places, against two renames.

    python benchmarks/bench_replace.py [--n 2000]

A process looks for a file of the folder as fast as it can, while another puts n exports of that one file in its place.
"""

import argparse
import multiprocessing
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path

from espalier.io import atomic
from espalier.io.atomic import temporary
from espalier.io.formats.write import place


def look(file: Path, ended: Event, counts: multiprocessing.Queue) -> None:
    """Count looks, and those that missed the file."""
    looks = missed = 0
    while not ended.is_set():
        looks += 1
        try:
            file.read_bytes()
        except FileNotFoundError:
            missed += 1
    counts.put((looks, missed))


def replaced(n: int) -> tuple[int, int]:
    """Replace a folder n times under a reader's eyes; return how often it looked, and how often in vain."""
    with tempfile.TemporaryDirectory() as work:
        target = Path(work) / "out"
        target.mkdir()
        (target / "kept.txt").touch()
        ended, counts = multiprocessing.Event(), multiprocessing.Queue()
        reader = multiprocessing.Process(target=look, args=(target / "kept.txt", ended, counts))
        reader.start()
        for _ in range(n):
            fresh = temporary(target)
            fresh.mkdir()
            (fresh / "kept.txt").touch()
            place.StagedExport(fresh, target, overwrite=True).commit()
        ended.set()
        return counts.get()


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=2_000)
    arguments = parser.parse_args()
    exchange = atomic._exchange
    for name, way in (("change places", exchange), ("two renames", lambda *_: False)):
        atomic._exchange = way
        looks, missed = replaced(arguments.n)
        print(f"{name:14} {arguments.n:,} replacements, {looks:,} looks, {missed:,} in vain")


if __name__ == "__main__":
    main()
