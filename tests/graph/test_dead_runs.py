"""A run whose process was killed is ended; one that lives is not, wherever its process is."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import dagster as dg
import pytest

import definitions
from espalier.cli.launch import open_instance, prepare
from espalier.io import leases as run_leases
from espalier.io.home import Home
from espalier.io.leases import RENEWED_S, SILENT_S, LeaseWatch, leased, leases
from espalier.io.processes import Process
from resources.home import HomeResource
from sensors.dead_runs import end_dead_runs

ELSEWHERE = Process("0123456789ab", "1", 2**22 + 1)
STARTED, SUCCESS, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def home(tmp_path):
    return Home.find(tmp_path / "home").ensure()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def gone():
    code = "from espalier.io.processes import Process; print(Process.current())"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def run_of(instance, home, process, status=STARTED):
    """A run in a state, whose lease names a process; return the run's id."""
    run = dg.DagsterRun(job_name="chain", run_id=str(uuid.uuid4()), status=status)
    instance.add_run(run)
    (home.dagster / "leases").mkdir(exist_ok=True)
    (home.dagster / "leases" / run.run_id).write_text(str(process))
    return run.run_id


def status(instance, run):
    return instance.get_run_by_id(run).status


def test_a_run_whose_process_is_gone_is_ended_and_one_that_lives_is_not(instance, home):
    killed, living = run_of(instance, home, gone()), run_of(instance, home, Process.current())
    assert end_dead_runs(instance, home, LeaseWatch()) == [killed]
    assert (status(instance, killed), status(instance, living)) == (FAILURE, STARTED)
    assert [lease.name for lease in leases(home)] == [living]
    assert end_dead_runs(instance, home, LeaseWatch()) == []


def test_a_run_whose_process_id_was_given_to_another_process_is_ended(instance, home):
    here = Process.current()
    killed = run_of(instance, home, Process(here.place, "1", here.pid))
    assert end_dead_runs(instance, home, LeaseWatch()) == [killed]


def test_the_lease_of_a_run_that_ended_is_removed(instance, home):
    run_of(instance, home, Process.current(), SUCCESS)
    run_of(instance, home, ELSEWHERE, FAILURE)
    assert end_dead_runs(instance, home, LeaseWatch()) == []
    assert leases(home) == []


def test_a_run_that_this_instance_does_not_know_is_left_to_its_own(instance, home):
    with dg.DagsterInstance.ephemeral() as other:
        run_of(other, home, Process.current())
        run_of(other, home, gone())
    assert end_dead_runs(instance, home, LeaseWatch()) == []
    assert [lease.read_text() for lease in leases(home)] == [str(Process.current())]


def test_a_run_on_another_host_lives_as_long_as_its_lease_is_renewed(instance, home):
    run, now = run_of(instance, home, ELSEWHERE), 0.0
    (lease,) = leases(home)
    watch = LeaseWatch(lambda: now)
    for _ in range(100):
        assert end_dead_runs(instance, home, watch) == []
        now += SILENT_S - 1
        assert end_dead_runs(instance, home, watch) == []
        lease.touch()
    assert status(instance, run) == STARTED


@pytest.mark.parametrize("holder", [ELSEWHERE, ""], ids=["another host", "a lease that was never written whole"])
def test_a_run_that_cannot_be_seen_is_ended_when_its_lease_was_not_renewed_for_ten_minutes(instance, home, holder):
    run, now = run_of(instance, home, holder), 0.0
    (lease,) = leases(home)
    os.utime(lease, (0, 0))  # what a clock says of it has no meaning here
    watch = LeaseWatch(lambda: now)
    assert end_dead_runs(instance, home, watch) == []
    now = SILENT_S
    assert end_dead_runs(instance, home, watch) == []
    now = SILENT_S + 1
    assert end_dead_runs(instance, home, watch) == [run]
    assert status(instance, run) == FAILURE
    assert leases(home) == []


def test_who_looks_once_ends_no_run_that_it_cannot_see(instance, home):
    run_of(instance, home, ELSEWHERE)
    os.utime(leases(home)[0], (0, 0))
    for _ in range(3):
        assert end_dead_runs(instance, home, LeaseWatch()) == []


def test_a_lease_is_renewed_as_long_as_it_is_held_and_twenty_times_before_it_looks_silent(home, monkeypatch):
    assert RENEWED_S * 20 <= SILENT_S
    monkeypatch.setattr(run_leases, "RENEWED_S", 0.01)
    with leased(home, "run"):
        (lease,) = leases(home)
        assert lease.read_text() == str(Process.current())
        for _ in range(2):
            os.utime(lease, (0, 0))
            until = time.monotonic() + 10
            while lease.stat().st_mtime == 0 and time.monotonic() < until:
                time.sleep(0.01)
            assert lease.stat().st_mtime > 0
        with leased(home, "run"):
            pass
        os.utime(lease, (0, 0))
        time.sleep(0.1)
        assert lease.stat().st_mtime > 0, "who takes it again does not end it"
    time.sleep(0.1)
    os.utime(lease, (0, 0))
    time.sleep(0.1)
    assert lease.stat().st_mtime == 0


def test_every_run_of_the_graph_holds_a_lease(chain, monkeypatch):
    held = []
    monkeypatch.setattr(type(chain.home), "store", _noting(chain, held, type(chain.home).store))
    result = chain.run("raw_dataset")
    assert chain.succeeded(result)
    assert set(held) == {(result.run_id, str(Process.current()))}


def _looking(executor, n_leases):
    @dg.op
    def look(home: HomeResource):
        assert len(leases(home.open())) == n_leases

    @dg.job(executor_def=executor, resource_defs={"home": HomeResource()})
    def job():
        look()

    return job


def in_one_process():
    return _looking(dg.in_process_executor, 1)


def a_process_a_step():
    return _looking(dg.multiprocess_executor, 0)


@pytest.mark.parametrize("job", [in_one_process, a_process_a_step])
def test_the_process_of_a_step_holds_no_lease_since_it_may_end_before_the_run_does(job, tmp_path, home, monkeypatch):
    monkeypatch.setenv("ESPALIER_HOME", str(home.root))
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        with dg.execute_job(dg.reconstructable(job), instance) as result:
            assert result.success


def _noting(chain, held, real):
    def store(self):
        held.extend((lease.name, lease.read_text()) for lease in leases(chain.home))
        return real(self)

    return store


SLOW = """
import time
from espalier.io.warehouse import Warehouse

def stage(self, draft, meta):
    print("storing", flush=True)
    time.sleep(600)

Warehouse.stage = stage
"""


@pytest.mark.slow
def test_a_run_in_a_container_is_not_ended_from_outside_while_it_lives(tmp_path, textures, namespace):
    home = prepare(Home.find(tmp_path / "home"))
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{Path(definitions.__file__).parent}",
        "ESPALIER_HOME": str(home.root),
    }
    command = [*namespace, sys.executable, "-m", "espalier.cli", "prune", str(textures), "--name", "set"]
    now, watch = 0.0, LeaseWatch(lambda: now)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"storing\n"
        with open_instance(home) as instance:
            (run,) = [run.run_id for run in instance.get_runs() if run.status == STARTED]
            assert Process.parse(leases(home)[0].read_text()).is_gone() is None
            assert end_dead_runs(instance, home, watch) == []
            process.kill()
            process.wait()
            assert end_dead_runs(instance, home, watch) == []
            now = SILENT_S + 1
            assert end_dead_runs(instance, home, watch) == [run]
            assert status(instance, run) == FAILURE
