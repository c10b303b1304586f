"""The wheel: it installs no name but ``espalier``, and runs beside another project's ``assets``."""

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, ROOT)
    return next(folder.glob("espalier-*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    """A fresh environment with the wheel, a package called ``assets`` beside it, and what it depends on lent."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    packages = next((folder / "lib").glob("python*/site-packages"))
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", packages, wheel)
    (packages / "assets").mkdir()
    (packages / "assets" / "__init__.py").write_text("raise RuntimeError('another project')\n")
    (packages / "lent.pth").write_text("\n".join(site.getsitepackages()))
    return folder


def test_it_holds_no_other_name(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"espalier"}
    assert {"espalier/project/definitions.py", "espalier/project/workspace.yaml"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("espalier/tests")]


def test_the_demo_runs_from_it_beside_a_package_called_assets(environment, tmp_path):
    python = environment / "bin/python"
    away = {**os.environ, "ESPALIER_HOME": str(tmp_path / "home")}
    where = run(python, "-c", "import espalier; print(espalier.__file__)", cwd=tmp_path, env=away)
    assert where.startswith(str(environment))
    said = run(python, "-m", "espalier.cli", "demo", cwd=tmp_path, env=away)
    assert "kept" in said
    assert (tmp_path / "home/manifests/digits").is_dir()


def test_its_code_location_loads_in_another_workspace(environment, tmp_path):
    python = environment / "bin/python"
    text = run(python, "-m", "espalier.cli", "workspace", cwd=tmp_path)
    (entry,) = yaml.safe_load(text)["load_from"]
    place = entry["python_file"]
    assert place["executable_path"] == str(python)
    arguments = ["-f", place["relative_path"], "-d", place["working_directory"]]
    away = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    run(python, "-m", "dagster", "definitions", "validate", *arguments, cwd=tmp_path, env=away)
