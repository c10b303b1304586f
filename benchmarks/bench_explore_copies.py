"""Does explore show the copies of an original first, although the chain has dropped them before embedding?

    python benchmarks/bench_explore_copies.py --data PLANTED_DUPS [--metric hamming]

PLANTED_DUPS holds ``images/`` and ``ground_truth.json`` (groups with ``original``, ``members`` and ``hflip``). For each
group the original's file is the query; counted is how many groups have all their copies (but the mirrored one) right
behind it. Beside it the same search over all files embedded without the chain: what the encoder can do at best.
Prints also the time of a question in memory and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--metric", choices=["hamming", "cosine"], default="hamming")
    args = parser.parse_args()
    args.data = args.data.resolve()
    groups = json.loads((args.data / "ground_truth.json").read_text())["groups"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ESPALIER_HOME"] = folder
        ours, missed, took = with_chain(args.data / "images", groups, args.metric)
    reference = without_chain(args.data / "images", groups, args.metric)
    print(f"groups whose copies all come first, {args.metric}:")
    print(f"  explore over the chain's embeddings   {ours} of {len(groups)}")
    print(f"  every file embedded, nothing dropped  {reference} of {len(groups)}")
    print(f"  ratio {ours / max(reference, 1):.3f}; missed by explore: {dict(missed) or 'nothing'}")
    print(f"a question, copies encoded on the spot: median {1000 * np.median(took):.0f} ms; peak {peak_mib():.0f} MiB")


def copies_of(group: dict) -> set[str]:
    return set(group["members"]) - {group["original"]}


def with_chain(images: Path, groups: list[dict], metric: str) -> tuple[int, Counter, list[float]]:
    from espalier.apps.search import Query, SearchIndex, SearchRequest
    from espalier.cli.launch import Launcher
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

    home = Home.find().ensure()
    LandingZone(home.landing).land(images, "planted")
    with Launcher(home, bars=False) as launcher:
        launcher.run("chain", "planted", ["raw_dataset", "dedup_set", "embeddings"])
    explored = SearchIndex(home, ["planted"])
    whole, took, missed = 0, [], Counter()
    for group in groups:
        wanted = copies_of(group)
        request = SearchRequest(
            (Query("image", str(images / group["original"])),), topk=len(wanted), metric=metric, others=True
        )
        answer, seconds = timed(lambda request=request: explored.ask(request))
        lost = wanted - {result.sample_id for result in answer.results} - {group["original"]}
        missed.update(item["transform"] for item in group["items"] if item["file"] in lost)
        whole += not lost
        took.append(seconds)
    return whole, missed, took


def without_chain(images: Path, groups: list[dict], metric: str) -> int:
    from espalier.core.hashing import SimHash
    from espalier.core.search import Explorer
    from espalier.io.encoders import load_encoder
    from espalier.io.files.blobs import read_bytes

    files = sorted(images.iterdir())
    row = {file.name: place for place, file in enumerate(files)}
    batches = load_encoder("builtin").encode_images(enumerate(map(str, files)), read_bytes)
    vectors = np.concatenate([batch.vectors for batch in batches])
    hashes = SimHash()(vectors)
    explorer, asked = (Explorer(hashes), hashes) if metric == "hamming" else (Explorer(vectors=vectors), vectors)
    whole = 0
    for group in groups:
        own = row[group["original"]]
        found, _ = explorer.search(asked[own], len(copies_of(group)) + 1)
        whole += {row[name] for name in copies_of(group)} <= set(found[0].tolist())
    return whole


if __name__ == "__main__":
    main()
