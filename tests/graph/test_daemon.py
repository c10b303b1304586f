"""A real ``espalier ui``: what lands is pruned by every registered recipe without a human hand."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import dagster as dg
import pytest

from espalier.stages.graph import CHAIN, DEFAULT_RECIPES, MANIFEST

pytestmark = pytest.mark.slow

PATIENCE_S = 240


def processes(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(folder.name))
    return found


class Page:
    """``espalier ui`` in a session of its own, so that nothing of it can stay behind."""

    def __init__(self, home: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log, environment = log, {**os.environ, "ESPALIER_HOME": str(home)}
        environment.pop("DAGSTER_HOME", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "espalier.cli", "ui", "-p", str(self.port)],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self, true, what: str) -> None:
        """Wait until ``true()``, and show the log's end when it takes too long or the page died."""
        until = time.monotonic() + PATIENCE_S
        while not true():
            assert self.process.poll() is None, f"the page ended:\n{self.tail()}"
            assert time.monotonic() < until, f"waited in vain for {what}:\n{self.tail()}"
            time.sleep(0.5)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-40:])

    def end(self) -> list[int]:
        """Ask it to end as a service manager does; return what still runs half a minute later, and kill that."""
        self.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 30
        while (left := processes(self.process.pid)) and time.monotonic() < until:
            time.sleep(0.2)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        return left


@pytest.mark.timeout(4 * PATIENCE_S)
def test_a_folder_copied_into_the_landing_zone_is_pruned_by_itself_and_so_is_a_recipe_added_later(tmp_path, textures):
    home = tmp_path / "home"
    page = Page(home, tmp_path / "page.log")
    manifests = home / "manifests" / "mine"
    try:
        page.wait((home / "landing").is_dir, "the home")
        shutil.copytree(textures, home / "landing" / "mine")
        page.wait(page.answers, "the page")
        for recipe in DEFAULT_RECIPES:
            page.wait((manifests / recipe / "kept.txt").exists, f"the manifest of {recipe}")
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            assert instance.get_dynamic_partitions("dataset") == ["mine"]
            assert sorted(instance.get_dynamic_partitions("recipe")) == sorted(DEFAULT_RECIPES)
            instance.add_dynamic_partitions("recipe", ["cluster_random@0.2"])
            page.wait((manifests / "cluster_random@0.2" / "kept.txt").exists, "the manifest of the added recipe")
            page.wait(lambda: not instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))), "all runs to end")
            failed = [run.run_id for run in instance.get_runs() if run.status != dg.DagsterRunStatus.SUCCESS]
            assert failed == [], page.tail()
            made = {name: len(instance.fetch_materializations(dg.AssetKey(name), limit=20).records) for name in CHAIN}
            assert made == dict.fromkeys(CHAIN, 1), "each stage ran once"
            assert len(instance.fetch_materializations(dg.AssetKey(MANIFEST), limit=20).records) == 3
            times = sorted((record.start_time, record.end_time) for record in instance.get_run_records())
            overlap = [(a, b) for a, b in itertools.pairwise(times) if b[0] < a[1]]
            assert overlap == [], "two runs of one pool at once"
            (landed,) = instance.fetch_observations(dg.AssetKey("landed"), limit=9).records
            assert landed.partition_key == "mine"
    finally:
        left = page.end()
    assert left == [], "processes stayed behind"


UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
