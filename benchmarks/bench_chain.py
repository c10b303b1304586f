"""What a run costs beside its stages: Dagster, start-up, storage. And what a second recipe costs beside the first.

A fresh home; the command line as a user runs it. A stage's own work is what it reports as ``stage_seconds``, and what
was read before its step began (``head_start_seconds``), while Dagster was imported. Beside it, as a reference: plain
Dagster importing itself, making an instance and running seven empty assets.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

OWN = ("stage_seconds", "head_start_seconds")
EMPTY = """
import dagster as dg

def step(number):
    @dg.asset(name=f"step_{number}", deps=[f"step_{number - 1}"] if number else [])
    def empty() -> None:
        pass
    return empty

steps = [step(number) for number in range(7)]
assert dg.materialize(steps, instance=dg.DagsterInstance.get()).success
"""


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
                told = [event.metadata[key].value for key in OWN if key in event.metadata]
                found[event.asset_key.to_user_string()] = sum(told)
    return found


def empty_chain() -> float:
    """Return the seconds that plain Dagster takes for seven empty assets on a fresh instance."""
    with tempfile.TemporaryDirectory() as home:
        shutil.copyfile(Path(__file__).parent.parent / "dagster.yaml", Path(home) / "dagster.yaml")
        began = time.perf_counter()
        environment = os.environ | {"DAGSTER_HOME": home}
        subprocess.run([sys.executable, "-c", EMPTY], env=environment, capture_output=True, check=True)
        return time.perf_counter() - began


def main() -> int:
    """Print the table; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    shares, ratios, outside, empty = [], [], [], []
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            first, one = prune(home, arguments.data, "density", "0.3")
            second, two = prune(home, one["dataset"], "random", "0.5")
            own = stage_seconds(home, one["runs"])
            assert two["ran"] == ["pruned_manifest"], two["ran"]
        shares.append(1 - sum(own.values()) / first)
        outside.append(first - sum(own.values()))
        empty.append(empty_chain())
        ratios.append(second / first)
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.items())
        print(f"first {first:.2f} s, second {second:.2f} s ({ratios[-1]:.2f})")
        print(f"  outside the stages {outside[-1]:.2f} s, {shares[-1]:.0%}; inside: {stages}")
        print(f"  plain Dagster, seven empty assets: {empty[-1]:.2f} s")
    share, ratio, beside, plain = map(statistics.median, (shares, ratios, outside, empty))
    print(f"median: {beside:.2f} s outside the stages, {beside / plain:.2f} of seven empty assets ({plain:.2f} s)")
    print(f"median: {share:.0%} outside the stages (bar 35 %), second/first {ratio:.2f} (bar 0.50)")
    return int(share > 0.35 or ratio > 0.5)


if __name__ == "__main__":
    sys.exit(main())
