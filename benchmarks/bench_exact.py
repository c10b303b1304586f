"""Every method at every amount keeps exactly the number asked for, and two fresh homes give the same kept.txt.

Each home is a process of its own that prunes as ``espalier prune`` does; prints a line a method.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

AMOUNTS = ("0.07", "0.3", "0.5", "1.0", "n1234")


def prune_all(data: str) -> list[dict]:
    """Prune by every method and amount in the home of this process."""
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import prune
    from espalier.core.prune import METHODS
    from espalier.core.recipe import Recipe
    from espalier.io.home import Home

    found = []
    with Launcher(Home.find(), bars=False) as launcher:
        for method in METHODS:
            for amount in AMOUNTS:
                summary = prune(launcher, data, Recipe.build(method, amount))
                kept = json.loads((Path(summary["manifest"]) / "summary.json").read_text())["kept_sha256"]
                found.append({"method": method, "amount": amount, "kept": kept} | _counts(summary))
    return found


def _counts(summary: dict) -> dict:
    return {name: summary[name] for name in ("n_kept", "n_total")}


def asked(amount: str, n: int) -> int:
    """Return the number that an amount asks of n samples."""
    return int(amount[1:]) if amount.startswith("n") else math.ceil(Fraction(amount) * n)


def main() -> int:
    """Print the table; exit 1 when a count is off or two homes differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        Path(arguments.inner).write_text(json.dumps(prune_all(arguments.data)))
        return 0
    homes = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "found.json"
            command = [sys.executable, __file__, "--data", arguments.data, "--inner", str(out)]
            env = os.environ | {"ESPALIER_HOME": str(Path(folder) / "home")}
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            homes.append(json.loads(out.read_text()))
    wrong = 0
    for one, other in zip(*homes, strict=True):
        exact = one["n_kept"] == asked(one["amount"], one["n_total"])
        same = one["kept"] == other["kept"]
        wrong += not (exact and same)
        if not (exact and same):
            print(f"{one['method']}@{one['amount']}: kept {one['n_kept']} of {one['n_total']}, same {same}")
    print(f"{len(homes[0])} recipes, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
