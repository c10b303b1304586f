"""What a user of the command line gets of reading apart: a run that no file ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import definitions

CRASHING = """
import os, signal
import espalier.io.images.decode as images
real = images.inspect
import espalier.io.scanning.scan as scan

def inspect(data, *rest, **more):
    if data.startswith(b"CRASH"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return real(data, *rest, **more)

scan.inspect = inspect
"""


@pytest.fixture
def espalier(tmp_path):
    """Run the command line in a process of its own, where some bytes end every process that reads them."""
    (tmp_path / "sitecustomize.py").write_text(CRASHING)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{Path(definitions.__file__).parent}",
        "ESPALIER_HOME": str(tmp_path / "home"),
    }

    def run(*arguments):
        command = [sys.executable, "-m", "espalier.cli", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    return run


def test_a_file_that_crashes_its_decoder_is_recorded_and_the_rest_is_pruned(tmp_path, textures, espalier):
    data = shutil.copytree(textures, tmp_path / "data")
    (data / "leaf/00.png").write_bytes(b"CRASH")
    espalier("prune", data, "--name", "set", "-m", "random", "-r", "0.5")
    shown = espalier("sql", "select sample_id, error from raw_dataset where error like '%SIGSEGV%'", "--json")
    assert shown.count("leaf/00.png") == 1
    assert "a fault of the decoder" in shown
