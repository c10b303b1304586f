"""A chain killed at random moments: what stood is never damaged, and a rerun gives what an undisturbed run gives.

A warm process forks a child for each run, so that twenty kills do not cost twenty imports of Dagster.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.io.leases import LeaseWatch
from espalier.io.warehouse import Table
from sensors.dead_runs import end_dead_runs

pytestmark = pytest.mark.slow

KILLS_OF_A_GROWN_HOME, KILLS_OF_A_FRESH_ONE = 17, 3
RECIPE = "density@0.3"

WARM = """
import json, os, sys
import dagster, duckdb, faiss, matplotlib.figure, openvino, rich.progress
import definitions, espalier.stages.encoded_vectors, espalier.io.drawing.plots
import espalier.cli.launch, espalier.cli.prune, espalier.cli.pruning
from espalier.cli.main import main
espalier.stages.encoded_vectors.PART_ROWS = 3
for plot in ("cluster_sizes", "complexity", "kept_dropped", "histogram"):
    # Plots take a third of a tiny run and are not tested here.
    setattr(espalier.io.drawing.plots, plot, lambda *_, **__: b"")
print("warm", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(out, 1), os.dup2(out, 2)
        os.environ["ESPALIER_HOME"] = order["home"]
        try:
            main(["prune", "set", "--recipe", order["recipe"]])
        except SystemExit as end:
            os._exit(end.code or 0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runner:
    """Runs the command line in children of a warm process, and kills them."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "warm\n"

    def start(self, home: Path) -> int:
        order = {"home": str(home), "recipe": RECIPE, "log": str(self.log)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> int:
        return int(self.process.stdout.readline())

    def whole(self, home: Path) -> float:
        """Run to the end; return the seconds that it took."""
        began = time.monotonic()
        self.start(home)
        assert self.end() == 0, self.log.read_text()
        return time.monotonic() - began

    def killed(self, home: Path, after: float) -> bool:
        """Start, and kill after so many seconds; False when it had ended before."""
        child = self.start(home)
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = self.end()
        assert code in (0, -signal.SIGKILL), self.log.read_text()
        return code != 0


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("runner") / "log")
    yield runner
    runner.process.stdin.close()
    try:
        runner.process.wait(20)
    except subprocess.TimeoutExpired:
        runner.process.kill()


class Data:
    """A dataset with two states: other files and another seed, so that every stage has other rows."""

    def __init__(self, root: Path, kit) -> None:
        self.folder, self.aside = root / "data", root / "aside"
        for i in range(28):
            path = self.folder / "abc"[i % 3] / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            kit.texture(i).save(path)
        shutil.copy(self.folder / "a/00.png", self.folder / "b/00-again.png")
        self.own = {0: sorted(self.folder.glob("*/1?.png")), 1: sorted(self.folder.glob("*/2?.png"))}
        self.set(0, None)

    def set(self, state: int, home: Path | None) -> None:
        """Bring files and card into one of the states; files keep their mtimes."""
        for other, paths in self.own.items():
            for path in paths:
                hidden = self.aside / path.relative_to(self.folder)
                hidden.parent.mkdir(parents=True, exist_ok=True)
                source, target = (hidden, path) if other == state else (path, hidden)
                if source.exists():
                    source.rename(target)
        if home:
            LandingZone(Home.find(home).ensure().landing).land(self.folder, "set", options={"seed": state})


@pytest.fixture(scope="module")
def data(tmp_path_factory, kit):
    return Data(tmp_path_factory.mktemp("crash"), kit)


def tables(home: Path) -> dict[str, str]:
    """Data version of every stored table; reading it fails for a damaged one."""
    root = home / "warehouse"
    return {
        str(path.relative_to(root)): Table(path).meta.data_version
        for path in sorted(root.rglob("*.duckdb"))
        if not path.name.startswith(".")
    }


def manifest(home: Path) -> dict[str, bytes] | None:
    """The files of the manifest, None when there is none."""
    folder = home / "manifests" / "set" / RECIPE
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())} if folder.exists() else None


def leftovers(home: Path) -> list[str]:
    """What killed writers left; not the folder that the manifest's link names."""
    linked = (home / "manifests" / "set" / RECIPE).resolve()
    hidden = [p for part in ("warehouse", "manifests") for p in (home / part).rglob("*") if p.name.startswith(".")]
    parts = list((home / "warehouse").glob("*/*.parts"))
    return [p.name for p in hidden + parts if p.resolve() != linked and p.suffix != ".lock"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data, runner):
    """For each state, what a run that nothing disturbs stores in a fresh home, and the seconds that it takes."""
    found, seconds = {}, []
    for state in (0, 1):
        home = tmp_path_factory.mktemp(f"undisturbed{state}") / "home"
        data.set(state, home)
        seconds.append(runner.whole(home))
        found[state] = (tables(home), manifest(home))
    first, second = found[0][0], found[1][0]
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first), "the two states differ in every table"
    return found, min(seconds)


@pytest.mark.timeout(600)
def test_a_chain_killed_at_any_moment_damages_nothing_and_a_rerun_completes_it(tmp_path, data, runner, undisturbed):
    expected, seconds = undisturbed
    home, rng = tmp_path / "home", random.Random(20260101)
    data.set(0, home)
    runner.whole(home)
    kills, state = 0, 0
    while kills < KILLS_OF_A_GROWN_HOME:
        state = 1 - state
        data.set(state, home)
        before = tables(home)
        if not runner.killed(home, rng.uniform(0, seconds)):
            assert (tables(home), manifest(home)) == expected[state]
            continue
        kills += 1
        after = tables(home)
        assert after.keys() == before.keys(), "a table that stood is gone"
        for name, version in after.items():
            assert version in (expected[0][0][name], expected[1][0][name]), f"{name} is neither the old nor the new"
        assert manifest(home) in (expected[0][1], expected[1][1])
        if kills % 8 == 0:
            runner.whole(home)
            assert (tables(home), manifest(home)) == expected[state]
    for state in (0, 1):
        data.set(state, home)
        runner.whole(home)
        assert (tables(home), manifest(home)) == expected[state]
    assert leftovers(home) == []
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        end_dead_runs(instance, Home.find(home), LeaseWatch())
        unfinished = [run.run_id for run in instance.get_runs() if not run.is_finished]
    assert unfinished == [], "a killed run would hold its place in the queue for ever"


@pytest.mark.timeout(600)
def test_a_first_run_killed_at_any_moment_is_completed_by_the_next(tmp_path, data, runner, undisturbed):
    """Also while Dagster makes its databases."""
    expected, seconds = undisturbed
    rng, kills, homes = random.Random(7), 0, 0
    while kills < KILLS_OF_A_FRESH_ONE:
        home, homes = tmp_path / f"home{homes}", homes + 1
        data.set(0, home)
        kills += runner.killed(home, rng.uniform(0, seconds))
        after = tables(home)
        assert all(version == expected[0][0][name] for name, version in after.items())
        assert manifest(home) in (None, expected[0][1])
        runner.whole(home)
        assert (tables(home), manifest(home)) == expected[0]
        assert leftovers(home) == []
