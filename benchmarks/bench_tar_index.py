"""Indexing a WebDataset of many tiny samples against Python's tarfile walking the same headers.

    python benchmarks/bench_tar_index.py [--samples 200000] [--shards 4]

The tars are made first, in a temporary folder. Each side runs in a process of its own; the peak memory is also printed
for a tenth of the samples, so that growth shows.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks._measure import peak_mib, timed


def make(folder: Path, samples: int, shards: int) -> None:
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05}.tar", "w", format=tarfile.USTAR_FORMAT) as out:
            for n in range(shard, samples, shards):
                for extension, data in (("jpg", b"\xff\xd8" + bytes(300)), ("txt", f"caption {n}".encode())):
                    info = tarfile.TarInfo(f"{n:09}.{extension}")
                    info.size = len(data)
                    out.addfile(info, io.BytesIO(data))


def ours(folder: str) -> int:
    from espalier.io.formats.read.webdataset import WebDataset
    from espalier.io.landing.cards import Card

    return sum(len(batch) for batch in WebDataset(Card("bench", folder)).batches(1024))


def by_tarfile(folder: str) -> int:
    count = 0
    for path in sorted(Path(folder).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                count += member.name.endswith(".jpg")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--side", choices=["ours", "tarfile"])
    parser.add_argument("--folder")
    args = parser.parse_args()
    if args.side:
        count, seconds = timed(lambda: ours(args.folder) if args.side == "ours" else by_tarfile(args.folder))
        print(json.dumps({"count": count, "seconds": seconds, "mib": peak_mib()}))
        return
    for samples in (args.samples // 10, args.samples):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), samples, args.shards)
            found = {}
            for name in ("tarfile", "ours"):
                command = [sys.executable, __file__, "--side", name, "--folder", folder]
                found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert found["ours"]["count"] == found["tarfile"]["count"] == samples
        print(f"{samples} samples of 2 members, {args.shards} shards")
        for label, one in (("our index, texts read", found["ours"]), ("tarfile, headers only", found["tarfile"])):
            print(f"  {label:22} {one['seconds']:6.2f} s, peak {one['mib']:.0f} MiB")
        print(f"  ratio {found['ours']['seconds'] / found['tarfile']['seconds']:.2f} (below 2 is the claim)")


if __name__ == "__main__":
    main()
