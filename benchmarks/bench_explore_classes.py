"""Are the nearest other pictures of the same class, and do the classes' words find them?

    python benchmarks/bench_explore_classes.py --data PHOTOS --encoder TWO_TOWERS/ [--words cat "dog=a photo of a dog"]

PHOTOS is a folder of class folders. For each picture as query, left out itself: the share of its class among as many
results as the class has others, and among the first; beside it the share that chance gives. For each class's words (by
default its name): how many of the first n results are of that class, n its size. Both metrics, through the command's
own code on a home made for it. Figures belong to the encoder and the pictures, not to Espalier alone.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--words", nargs="+", metavar="CLASS[=WORDS]", help="by default each class's name")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ESPALIER_HOME"] = folder
        explored, classes = embedded(args.data.resolve(), args.encoder)
        sizes = Counter(classes.values())
        words = [(name, text or name) for name, _, text in (w.partition("=") for w in args.words or sorted(sizes))]
        for metric in ("hamming", "cosine"):
            pictures(explored, classes, sizes, metric)
            for name, text in words:
                matched(explored, classes, sizes[name], name, text, metric)
    print(f"peak {peak_mib():.0f} MiB")


def embedded(data: Path, encoder: str):
    from espalier.apps.search import SearchIndex
    from espalier.cli.launch import Launcher
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

    home = Home.find().ensure()
    spec = str(Path(encoder).resolve()) if Path(encoder).exists() else encoder
    LandingZone(home.landing).land(data, "pictures", options={"encoder": spec})
    with Launcher(home, bars=False) as launcher:
        launcher.run("chain", "pictures", ["raw_dataset", "dedup_set", "embeddings"])
    ids = home.store().need("raw_dataset", "pictures").arrow(["sample_id"])["sample_id"].to_pylist()
    return SearchIndex(home, ["pictures"]), {i: i.split("/")[-2] for i in ids}


def pictures(explored, classes: dict[str, str], sizes: Counter, metric: str) -> None:
    from espalier.apps.search import Query, SearchRequest

    shares, nearest, took = [], [], []
    for sample, name in classes.items():
        request = SearchRequest((Query("item", sample),), topk=sizes[name] - 1, metric=metric, others=True)
        answer, seconds = timed(lambda request=request: explored.ask(request))
        same = [classes[r.sample_id] == name for r in answer.results]
        shares.append(np.mean(same))
        nearest.append(same[0])
        took.append(seconds)
    chance = np.mean([(sizes[name] - 1) / (len(classes) - 1) for name in classes.values()])
    print(
        f"{metric}: share of the class among the nearest others {np.mean(shares):.3f} (chance {chance:.3f}, least "
        f"{np.min(shares):.2f}, {np.mean(np.array(shares) > 0.5):.0%} of the pictures above a half), among the first "
        f"{np.mean(nearest):.3f}; median {1000 * np.median(took):.1f} ms a question"
    )


def matched(explored, classes: dict[str, str], n: int, name: str, text: str, metric: str) -> None:
    from espalier.apps.search import Query, SearchRequest

    answer = explored.ask(SearchRequest((Query("text", text),), topk=n, metric=metric))
    found = sum(classes[r.sample_id] == name for r in answer.results)
    print(f"{metric}: the words {text!r}: {found} of the first {n} are of the class {name}")


if __name__ == "__main__":
    main()
