"""What is printed during a run is found in the run's logs, and the terminal shows its bars all the same."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import definitions

TALKING = """
import os
import espalier.io.scanning.scan as scan
from espalier.io.warehouse import Warehouse

real_inspect, real_stage = scan.inspect, Warehouse.stage

def inspect(*given, **more):
    os.write(2, b"a decoder talks\\n")
    return real_inspect(*given, **more)

def stage(self, draft, meta):
    os.write(2, f"storing {meta.asset} talks\\n".encode())
    return real_stage(self, draft, meta)

scan.inspect, Warehouse.stage = inspect, stage
"""


@pytest.fixture
def order(tmp_path, textures):
    """A first run by the command line, in which a decoder and the storing of each table print to the error stream."""
    (tmp_path / "sitecustomize.py").write_text(TALKING)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{Path(definitions.__file__).parent}",
        "ESPALIER_HOME": str(tmp_path / "home"),
        "TERM": "xterm",
    }
    command = [
        sys.executable,
        "-m",
        "espalier.cli",
        "prune",
        str(textures),
        "--name",
        "set",
        "-m",
        "random",
        "-r",
        "0.5",
    ]
    return {"args": command, "env": environment, "check": True}


def captured(home: Path) -> list[str]:
    """What the runs of a home printed to the error stream, the first run's first."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        logs = instance.compute_log_manager
        keys = [
            logs.build_log_key_for_run(run.run_id, entry.dagster_event.logs_captured_data.file_key)
            for run in reversed(instance.get_runs())
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
        ]
        return [logs.get_log_data(key).stderr.decode() for key in keys]


def test_what_a_stage_and_the_process_that_reads_for_it_print_is_in_the_runs_log(tmp_path, order):
    subprocess.run(**order, capture_output=True)
    chain, manifests = captured(tmp_path / "home")
    assert chain.count("a decoder talks") > 40
    assert "storing clusters talks" in chain
    assert "storing pruned_manifest talks" in manifests


def test_bars_go_to_the_terminal_and_not_into_the_log(tmp_path, order):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with subprocess.Popen(order["args"], env=order["env"], stderr=theirs, stdout=subprocess.DEVNULL) as process:
            os.close(theirs)
            shown = b"".join(_read(terminal))
        assert process.returncode == 0, shown.decode()
    assert "clustering" in shown.decode()
    assert "✓" in shown.decode(), "a bar that came to its end"
    for printed in captured(tmp_path / "home"):
        assert "clustering" not in printed
        assert "✓" not in printed


def _read(terminal):
    """All that is shown until nobody has the terminal open any more."""
    while True:
        try:
            block = terminal.read(4096)
        except OSError:
            return
        if not block:
            return
        yield block
