"""What a run costs beside its stages, against plain Dagster. And what a second recipe costs beside the first.

Ours is the command line as a user runs it: a whole process in a fresh home, less the stages' own work, which is the
sum of the ``stage_seconds`` that its steps report. Plain Dagster (``_plain_dagster.py``) is a whole process, too: it
imports Dagster, opens a fresh instance with the same dagster.yaml, and makes as many runs of as many assets, with the
same partitions, inputs, checks, metadata and log lines as ours just made. Its assets do nothing.
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
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg

from espalier.stages.graph import STAGES

BAR_PLAIN, BAR_SECOND = 1.5, 0.5
HERE = Path(__file__).parent


def prune(home: Path, target: str, method: str, ratio: str) -> tuple[float, dict]:
    """Run ``espalier prune``; return the seconds and its JSON."""
    command = [sys.executable, "-m", "espalier.cli", "prune", target, "-m", method, "-r", ratio, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"ESPALIER_HOME": str(home)}, capture_output=True, check=True)
    return time.perf_counter() - began, json.loads(done.stdout)


def plain_dagster(runs: list[list[dict]]) -> tuple[float, Counter]:
    """Make the same runs in a process of plain Dagster; return the seconds and its events by type."""
    with tempfile.TemporaryDirectory() as home:
        shutil.copyfile(HERE.parent / "dagster.yaml", f"{home}/dagster.yaml")
        Path(home, "runs.json").write_text(json.dumps(runs))
        command = [sys.executable, str(HERE / "_plain_dagster.py"), f"{home}/runs.json"]
        began = time.perf_counter()
        subprocess.run(command, env=os.environ | {"DAGSTER_HOME": home}, check=True)
        seconds = time.perf_counter() - began
        with dg.DagsterInstance.from_config(home) as instance:
            return seconds, events(instance, [run.run_id for run in instance.get_runs()])


def events(instance: dg.DagsterInstance, runs: list[str]) -> Counter:
    """Count the entries of some runs by type; log lines are LINE."""
    return Counter(
        entry.dagster_event.event_type_value if entry.dagster_event else "LINE"
        for run in runs
        for entry in instance.all_logs(run)
    )


def steps_of(instance: dg.DagsterInstance, run: str) -> list[dict]:
    """Return what each step of a run told, as the plain program takes it."""
    steps: dict[str, dict] = {}
    for entry in instance.all_logs(run):
        if entry.step_key is None:
            continue
        known = {"name": entry.step_key, "lines": 0, "checks": {}}
        step, event = steps.setdefault(entry.step_key, known), entry.dagster_event
        if event is None:
            step["lines"] += 1
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            step["checks"][check.check_name] = as_json(check.metadata)
        elif event.event_type_value == "ASSET_MATERIALIZATION":
            step["metadata"] = as_json(event.step_materialization_data.materialization.metadata)
    for name, step in steps.items():
        step |= {"reads": STAGES[name].reads, "per_recipe": STAGES[name].per_recipe}
    return list(steps.values())


def as_json(metadata: dict[str, dg.MetadataValue]) -> dict[str, dict[str, Any]]:
    """Return metadata by kind."""
    kinds: dict[str, dict[str, Any]] = {"plain": {}, "markdown": {}, "schemas": {}}
    for key, entry in metadata.items():
        if isinstance(entry, dg.MarkdownMetadataValue):
            kinds["markdown"][key] = entry.value
        elif isinstance(entry, dg.TableSchemaMetadataValue):
            kinds["schemas"][key] = [[c.name, c.type, c.description] for c in entry.value.columns]
        else:
            kinds["plain"][key] = entry.value if isinstance(entry.value, int | float | str) else str(entry.value)
    return kinds


def once(data: str) -> dict[str, float]:
    """Measure one time; print it and return the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        first, one = prune(home, data, "density", "0.3")
        second, two = prune(home, one["dataset"], "random", "0.5")
        assert two["ran"] == ["pruned_manifest"], two["ran"]
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            runs = [steps_of(instance, run) for run in one["runs"]]
            ours = events(instance, one["runs"])
    own = {step["name"]: step["metadata"]["plain"]["stage_seconds"] for run in runs for step in run}
    beside = first - sum(own.values())
    plain, theirs = plain_dagster(runs)
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.items())
    print(f"first {first:.2f} s = {beside:.2f} beside the stages + {sum(own.values()):.2f} ({stages})")
    print(f"  plain Dagster {plain:.2f} s, ratio {beside / plain:.2f}; second recipe {second:.2f} s", flush=True)
    different = {kind: (ours[kind], theirs[kind]) for kind in ours | theirs if ours[kind] != theirs[kind]}
    print(f"  events: {ours.total()} and {theirs.total()}{f', different: {different}' if different else ''}")
    return {"first": first, "second": second, "beside": beside, "plain": plain}


def main() -> int:
    """Print the table; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of images")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    rounds = [once(arguments.data) for _ in range(arguments.repeat)]
    median = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    against = statistics.median(one["beside"] / one["plain"] for one in rounds)
    share = statistics.median(one["second"] / one["first"] for one in rounds)
    print(f"median: first {median['first']:.2f} s, second {median['second']:.2f} s, {share:.2f} (bar {BAR_SECOND:.2f})")
    print(
        f"median: {median['beside']:.2f} s beside the stages, plain Dagster {median['plain']:.2f} s, "
        f"ratio {against:.2f} (bar {BAR_PLAIN:.2f})"
    )
    return int(against > BAR_PLAIN or share > BAR_SECOND)


if __name__ == "__main__":
    sys.exit(main())
