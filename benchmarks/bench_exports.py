"""Writing an image folder as WebDataset, Parquet and a copy, against what its user would write with the plain packages.

    python benchmarks/bench_exports.py [--n 20000]

Peers: ``webdataset.ShardWriter``, ``pyarrow.parquet.ParquetWriter`` in batches of 1,000 rows, ``shutil.copytree``. Both
sides write the same pictures, classes and keys; each runs in a process of its own after the files were read once. The
peak memory is also printed for a tenth of the pictures, so that growth shows.
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks._measure import peak_mib, timed

FORMATS = {"webdataset": "ShardWriter", "parquet": "ParquetWriter", "image_folder": "copytree"}
CLASSES = 50


def make(root: Path, n: int) -> None:
    """Write n JPEGs of about 15 kB, no two alike, in class folders."""
    from PIL import Image

    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    for i in range(n):
        path = root / f"{i % CLASSES:02}" / f"{i:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue() + str(i).encode())  # bytes after the end do not matter to a decoder


def ours(source: Path, target: Path, format_name: str) -> None:
    """Export every sample."""
    import pyarrow as pa

    from espalier.io.formats.read.detect import open_reader
    from espalier.io.formats.write.base import Subset
    from espalier.io.formats.write.choose import choose_writer
    from espalier.io.formats.write.place import stage_export
    from espalier.io.landing.cards import Card

    card = Card("bench", str(source))
    reader = open_reader(card)
    samples = sorted((s for batch in reader.batches(1000) for s in batch), key=lambda s: s.sample_id)
    names = ("sample_id", "subset", "uri", "caption")
    columns = {name: pa.array([getattr(s, name) for s in samples], pa.string()) for name in names}
    columns["labels"] = pa.array([list(s.labels) for s in samples], pa.list_(pa.string()))
    subset = Subset(card, reader.format, pa.table(columns), 10_000, tuple(reader.categories()))
    write = choose_writer(reader.format, format_name)[1]
    stage_export(subset, write, target, link=False, overwrite=False, progress=lambda _: None)[0].commit()


def peer(source: Path, target: Path, format_name: str) -> None:
    """Do the same by hand."""
    if format_name == "image_folder":
        shutil.copytree(source, target)
        return
    target.mkdir()
    paths = sorted(source.rglob("*.jpg"))
    if format_name == "webdataset":
        import webdataset

        with webdataset.ShardWriter(f"{target}/%05d.tar", maxcount=10_000, maxsize=1e12, verbose=0) as shards:
            for path in paths:
                key = str(path.relative_to(source).with_suffix(""))
                about = json.dumps({"id": f"{key}.jpg"}).encode()
                shards.write(
                    {"__key__": key, "jpg": path.read_bytes(), "cls": str(int(path.parent.name)), "json": about}
                )
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("key", pa.string()), ("label", pa.string()), ("jpg", pa.binary())])
    with pq.ParquetWriter(target / "0.parquet", schema, compression="none") as writer:
        for start in range(0, len(paths), 1000):
            part = paths[start : start + 1000]
            rows = {
                "key": [str(p.relative_to(source)) for p in part],
                "label": [p.parent.name for p in part],
                "jpg": [p.read_bytes() for p in part],
            }
            writer.write_table(pa.table(rows, schema))


def main() -> None:
    """Make the data and run each side of each format in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--format", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run = ours if args.side == "ours" else peer
        _, seconds = timed(lambda: run(args.work / "in", args.work / "out", args.format))
        print(json.dumps({"seconds": seconds, "mib": peak_mib()}))
        return
    heads = ("ours, s", "peer, s", "ours / peer", "ours, MiB", "peer, MiB")
    print(f"{'pictures':>9} {'format':13}" + "".join(f"{head:>13}" for head in heads))
    for n in (args.n // 10, args.n):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            make(work / "in", n)
            for format_name, name in FORMATS.items():
                found = {}
                for side in ("ours", "peer"):
                    command = [sys.executable, __file__, "--side", side, "--format", format_name, "--work", folder]
                    found[side] = json.loads(subprocess.check_output(command))
                    shutil.rmtree(work / "out")
                one, two = found["ours"], found["peer"]
                times, memory = (one["seconds"], two["seconds"]), (one["mib"], two["mib"])
                cells = [
                    f"{times[0]:.2f}",
                    f"{times[1]:.2f}",
                    f"{times[0] / times[1]:.2f}",
                    *(f"{m:.0f}" for m in memory),
                ]
                print(f"{n:9,} {format_name:13}" + "".join(f"{cell:>13}" for cell in cells) + f"  ({name})", flush=True)


if __name__ == "__main__":
    main()
