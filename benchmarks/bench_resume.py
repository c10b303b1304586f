"""Embedding killed at random, gone on with, and grown: is the result that of an undisturbed run, byte by byte?

The command line in processes of its own, on a copy of the data. One home is left in peace; in the other the process is
killed (SIGKILL) at random moments while it embeds, none to two parts further on and a little, until it has been killed
often enough, and then runs to its end.
Compared are the rows of ``embeddings`` exactly and every file of the manifest. Then ten pictures are added, and the
counters say how many were embedded. Parts are small here (``--part``), so that a short embedding has several.
"""

import argparse
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from espalier.io.home import Home
from espalier.io.warehouse import Table

NAME, RECIPE, ADDED = "set", "density@0.3", 10
RUN = """
import sys
import espalier.stages.encoded_vectors
from espalier.cli.main import main
espalier.stages.encoded_vectors.PART_ROWS = int(sys.argv[1])
main(sys.argv[2:])
"""


class Bench:
    """A dataset and the command line on it."""

    def __init__(self, data: Path, part: int, encoder: str) -> None:
        self.data, self.part, self.encoder = data, part, encoder

    def start(self, home: Path) -> subprocess.Popen:
        """Start ``espalier prune`` on a home."""
        command = [sys.executable, "-c", RUN, str(self.part), "prune", str(self.data), "--name", NAME]
        options = ["--recipe", RECIPE, "--option", f"encoder={self.encoder}", "--json"]
        return subprocess.Popen(
            [*command, *options],
            env=os.environ | {"ESPALIER_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def whole(self, home: Path) -> float:
        """Run to the end; return the seconds that it embedded."""
        process, seconds, began = self.start(home), 0.0, time.perf_counter()
        while process.poll() is None:
            time.sleep(0.01)
            now = time.perf_counter()
            seconds += embedding(home) * (now - began)
            began = now
        if process.returncode != 0:
            raise SystemExit(f"espalier prune failed on {home}")
        return seconds

    def killed(self, home: Path, more: int, after: float) -> bool:
        """Start, and kill it so many seconds after it has written ``more`` parts; False when all stood before."""
        process, before = self.start(home), parts(home)
        while process.poll() is None and not (embedding(home) and parts(home) >= before + more):
            time.sleep(0.005)
        time.sleep(after)
        stood = table(home) is not None or process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        return not stood


def embedding(home: Path) -> bool:
    """Tell whether a run is embedding: it holds the lock of the parts."""
    folder = Home.find(home).store().parts("embeddings", NAME)
    try:
        with folder.with_name(f".{folder.name}.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def table(home: Path) -> Table | None:
    """Return the stored embeddings."""
    return Home.find(home).store().get("embeddings", NAME)


def parts(home: Path) -> int:
    """Return how many parts are on the disk."""
    return len(list(Home.find(home).store().parts("embeddings", NAME).glob("*.parquet")))


def same_rows(one: Table, other: Table) -> bool:
    """Compare ids, digests, vectors and hashes exactly."""
    columns = ["sample_id", "sha256"]
    bits = all(one.matrix(name).tobytes() == other.matrix(name).tobytes() for name in ("vector", "hash"))
    return bits and one.arrow(columns).equals(other.arrow(columns)) and one.meta.data_version == other.meta.data_version


def manifest(home: Path) -> dict[str, bytes]:
    """Return the files of the manifest."""
    folder = Home.find(home).manifests / NAME / RECIPE
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def add_pictures(data: Path, count: int) -> None:
    """Write pictures of random waves, unlike one another and all else."""
    folder = next((path for path in sorted(data.rglob("*")) if path.is_dir() and any(path.glob("*.*"))), data)
    y, x = np.mgrid[0:64, 0:64] / 64
    for number in range(count):
        rng = np.random.default_rng(number)
        waves = sum(np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in rng.uniform(-6, 6, (4, 3)))
        grey = (waves - waves.min()) / np.ptp(waves)
        picture = grey[..., None] * rng.uniform(80, 255, 3)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"added-{number:02}.png")


def main() -> int:
    """Print what is equal; exit 1 when something is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="folder of images")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--part", type=int, default=128, help="vectors a part")
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, wrong = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        data, calm, hit = Path(folder) / "data", Path(folder) / "calm", Path(folder) / "hit"
        shutil.copytree(arguments.data, data)
        bench = Bench(data, arguments.part, arguments.encoder)
        seconds = bench.whole(calm)
        undisturbed = table(calm)
        assert undisturbed is not None
        print(f"undisturbed: {len(undisturbed):,} vectors, embedded in {seconds:.1f} s", flush=True)
        kills, tries = 0, 0
        while kills < arguments.kills and tries < 5 * arguments.kills:
            tries += 1
            more, after = rng.randint(0, 2), rng.uniform(0, seconds / arguments.kills)
            if bench.killed(hit, more, after):
                kills += 1
                print(f"  kill {kills}: {parts(hit)} parts stand", flush=True)
            else:
                shutil.rmtree(hit)
                kills = 0
                print("  the embeddings stood already; from the start again", flush=True)
        bench.whole(hit)
        finished = table(hit)
        assert finished is not None
        counts = finished.meta.stats
        print(
            f"after {kills} kills: {counts['n_embedded']:,} embedded by the last run, {counts['n_reused']:,} by others"
        )
        for what, equal in (
            ("rows of embeddings", same_rows(undisturbed, finished)),
            ("files of the manifest", manifest(calm) == manifest(hit)),
        ):
            print(f"  {what}: {'equal, byte by byte' if equal else 'DIFFERENT'}")
            wrong += not equal
        print(f"  parts left over: {parts(hit)}")
        wrong += parts(hit)
        add_pictures(data, ADDED)
        bench.whole(hit)
        grown = table(hit)
        assert grown is not None
        counts = grown.meta.stats
        print(f"{ADDED} pictures added: {counts['n_embedded']} embedded, {counts['n_reused']:,} reused")
        wrong += counts["n_embedded"] != ADDED
    return int(bool(wrong) or kills < arguments.kills)


if __name__ == "__main__":
    sys.exit(main())
