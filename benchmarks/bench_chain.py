"""What a run costs beside its stages: Dagster, start-up, storage. And what a second recipe costs beside the first.

A fresh home; the command line as a user runs it. A stage's own work is what it reports as ``stage_seconds``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg


def prune(home: Path, target: str, method: str, ratio: str) -> tuple[float, dict]:
    """Run ``espalier prune``; return the seconds and its JSON."""
    command = [sys.executable, "-m", "cli", "prune", target, "-m", method, "-r", ratio, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"ESPALIER_HOME": str(home)}, capture_output=True, check=True)
    return time.perf_counter() - began, json.loads(done.stdout)


def stage_seconds(home: Path, runs: list[str]) -> dict[str, float]:
    """Return the own time of each stage in some runs."""
    found = {}
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for run in runs:
            for record in instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                event = record.asset_materialization
                found[event.asset_key.to_user_string()] = event.metadata["stage_seconds"].value
    return found


def main() -> int:
    """Print the table; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    shares, ratios = [], []
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            first, one = prune(home, arguments.data, "density", "0.3")
            second, two = prune(home, one["dataset"], "random", "0.5")
            own = stage_seconds(home, one["runs"])
            assert two["ran"] == ["pruned_manifest"], two["ran"]
        shares.append(1 - sum(own.values()) / first)
        ratios.append(second / first)
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.items())
        print(f"first {first:.2f} s, second {second:.2f} s ({ratios[-1]:.2f})")
        print(f"  outside the stages {shares[-1]:.0%}: {stages}")
    share, ratio = sorted(shares)[len(shares) // 2], sorted(ratios)[len(ratios) // 2]
    print(f"median: {share:.0%} outside the stages (bar 35 %), second/first {ratio:.2f} (bar 0.50)")
    return int(share > 0.35 or ratio > 0.5)


if __name__ == "__main__":
    sys.exit(main())
