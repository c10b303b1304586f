"""The trie of kept keys beside a Python set of strings: size on disk, memory, time to open, lookups a second.

Half of the lookups are of keys that are not kept. Each side runs in a process of its own, so that its memory is its
own; both read what a manifest folder holds (kept.marisa, or kept.txt into a set).

    python benchmarks/bench_trie.py [--n 1000000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import pyarrow as pa
from _measure import peak_mib, timed


def main() -> None:
    """Write a manifest of n keys (img2dataset's, half of them kept) and measure both sides."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=1_000_000, help="keys that are kept")
    parser.add_argument("--side", choices=["trie", "set"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.folder, args.n)))
        return
    with tempfile.TemporaryDirectory() as work:
        write(Path(work) / "random@0.5", args.n)
        folder = (Path(work) / "random@0.5").resolve()
        command = [sys.executable, __file__, "--n", str(args.n), "--folder", str(folder), "--side"]
        trie, plain = (json.loads(subprocess.check_output([*command, side])) for side in ("trie", "set"))
        sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
    print(f"{args.n:,} kept keys such as {keys(1)[0]!r}; a lookup hits every second time")
    print(f"{'':24}{'trie':>12}{'set':>12}{'trie / set':>12}")
    for label, key, unit in (
        ("open, s", "open", 1), ("memory grown by, MiB", "grown", 1), ("lookups a second, k", "rate", 1e-3),
    ):  # fmt: skip
        print(f"{label:24}{trie[key] * unit:12.3f}{plain[key] * unit:12.3f}{trie[key] / plain[key]:12.3f}")
    print(f"{'file, bytes a key':24}{sizes['kept.marisa'] / args.n:12.2f}{sizes['kept.txt'] / args.n:12.2f}"
          f"{sizes['kept.marisa'] / sizes['kept.txt']:12.3f}")  # fmt: skip
    assert trie["hits"] == plain["hits"] == args.n


def keys(n: int, odd: int = 0) -> list[str]:
    """Keys of img2dataset: a shard of 10,000 and nine digits; the even ones are kept."""
    return [f"{i // 10_000:05}/{i // 10_000:05}{i % 10_000:04}" for i in range(odd, 2 * n, 2)]


def write(link: Path, n: int) -> None:
    """Write the manifest."""
    from espalier.io.results import write_manifest

    kept = sorted(keys(n))
    write_manifest(link, pa.table({"sample_id": kept, "kept": [True] * n}), {}).commit()


def resident_mib() -> float:
    """Memory of this process now, in MiB; mapped pages that were touched count."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 2**10 if status.exists() else peak_mib()


def measure(side: str, folder: Path, n: int) -> dict[str, float]:
    """Open one side and look up every kept key and as many others."""
    from espalier.manifest import Manifest

    asked = [key for pair in zip(keys(n), keys(n, 1), strict=True) for key in pair]
    before = resident_mib()

    def load() -> object:
        if side == "trie":
            return Manifest.load(folder)
        return set((folder / "kept.txt").read_text("utf-8").splitlines())

    kept, opened = timed(load)
    hits, took = timed(lambda: sum(key in kept for key in asked))
    return {"open": opened, "rate": len(asked) / took, "grown": resident_mib() - before, "hits": hits}


if __name__ == "__main__":
    main()
