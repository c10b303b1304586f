"""``make golden`` writes the golden files anew, and nothing else does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"


@pytest.fixture
def copied(tmp_path):
    """The golden tests with their files, one of which is out of date and one gone."""
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    (folder / "pytest.ini").write_text("[pytest]\n")
    outdated = folder / "prune/random.json"
    outdated.write_text(outdated.read_text().replace("[", "[89, ", 1))
    (folder / "prune/density.json").unlink()
    return folder


def golden_tests(folder, **setting):
    environment = {name: value for name, value in os.environ.items() if name != "ESPALIER_GOLDEN"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "test_prune_golden.py")],
        env=environment | setting,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_golden_writes_outdated_and_missing_files_as_they_stand_here(copied):
    (target,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "ESPALIER_GOLDEN" in line]
    name, _, value = target.split()[0].partition("=")
    assert target.endswith("tests/golden")
    ran = golden_tests(copied, **{name: value})
    assert ran.returncode == 0, ran.stdout
    for written in (copied / "prune").iterdir():
        assert written.read_bytes() == (GOLDEN / "prune" / written.name).read_bytes()


def test_without_it_an_outdated_or_missing_file_fails(copied):
    ran = golden_tests(copied)
    assert ran.returncode == 1
    assert "random@0.2" in ran.stdout
    assert not (copied / "prune/density.json").exists()
