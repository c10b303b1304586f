"""Vectors brought as npy with ids give the manifest that the same vectors give when they are computed.

One home computes; its vectors are written as clip-retrieval writes them, shuffled over four shards, and a second home
takes them by ``espalier land --embeddings``. Every file of each manifest is compared but ``summary.json``, which names
the encoder. The command line as a user runs it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from espalier.io.home import Home

RECIPES = ("density@0.3", "random@0.3", "centroid@0.1", "cluster_random@0.5:space=hash")


def espalier(home: Path, *arguments: str) -> dict:
    """Run the command line; return its JSON."""
    command = [sys.executable, "-m", "espalier.cli", *arguments, "--json"]
    done = subprocess.run(command, env=os.environ | {"ESPALIER_HOME": str(home)}, capture_output=True, check=True)
    return json.loads(done.stdout)


def write(folder: Path, home: Path) -> int:
    """Write the stored vectors as shards in an order of their own; return how many."""
    table = Home.find(home).store().need("embeddings", "set")
    ids, vectors = table.arrow(["sample_id"])["sample_id"].to_pylist(), table.matrix("vector")
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, rows in enumerate(np.array_split(np.random.default_rng(0).permutation(len(ids)), 4)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[rows])
        names = pa.table({"image_path": [ids[row] for row in rows]})
        pq.write_table(names, folder / "metadata" / f"metadata_{number}.parquet")
    return len(ids)


def main() -> int:
    """Print what is equal; exit 1 when something is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images")
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        computed, brought, vectors = (Path(temporary) / name for name in ("computed", "brought", "vectors"))
        for home in (computed, brought):
            if home == brought:
                n = write(vectors, computed)
                fit = espalier(brought, "land", arguments.data, "--name", "set", "--embeddings", str(vectors))
                print(f"{fit['embeddings']['matched']:,} of {n:,} vectors belong to a sample")
            for recipe in RECIPES:
                began = time.perf_counter()
                target = arguments.data if home == computed and recipe == RECIPES[0] else "set"
                name = ("--name", "set") if target != "set" else ()
                summary = espalier(home, "prune", target, *name, "--recipe", recipe)
                seconds = time.perf_counter() - began
                if home == computed:
                    print(f"  computed {recipe}: kept {summary['n_kept']:,} of {summary['n_total']:,}, {seconds:.1f} s")
                    continue
                folders = [Home.find(h).manifests / "set" / recipe.replace(":", "~") for h in (computed, brought)]
                files = sorted(path.name for path in folders[0].iterdir() if path.name != "summary.json")
                same = [f for f in files if (folders[0] / f).read_bytes() == (folders[1] / f).read_bytes()]
                wrong += len(same) < len(files)
                print(f"  brought  {recipe}: {len(same)} of {len(files)} files equal byte by byte, {seconds:.1f} s")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
