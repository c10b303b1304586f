"""The fence: an import that goes up, or Dagster in the library, is refused by ``make check``'s tools."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import definitions

ROOT = Path(definitions.__file__).parent
PACKAGES = ("espalier", "resources", "assets", "sensors")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the house without its data."""
    copy = tmp_path_factory.mktemp("tree") / "house"
    copy.mkdir()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "definitions.py"):
        shutil.copy(ROOT / file, copy)
    return copy


def lint_imports(tree):
    # Run as a module of its own folder, or the copy installed for development would be read instead.
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    return subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=False)


def ruff(tree, path):
    return subprocess.run(
        [str(BIN / "ruff"), "check", "--no-cache", path], cwd=tree, capture_output=True, text=True, check=False
    )


@pytest.fixture
def planted(tree):
    """Add a line to a module of the copy for the length of a test."""
    changed = []

    def plant(file, line):
        path = tree / file
        changed.append((path, path.read_text()))
        path.write_text(f"{path.read_text()}\n\n{line}\n")

    yield plant
    for path, text in reversed(changed):
        path.write_text(text)


def test_the_house_as_it_is_passes(tree):
    said = lint_imports(tree)
    assert said.returncode == 0, said.stdout
    assert "0 broken" in said.stdout
    assert ruff(tree, "espalier").returncode == 0


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("espalier/core/quota.py", "from espalier.io.home import Home"),
        ("espalier/core/rng.py", "import assets.partitions"),
        ("espalier/io/drawing/plots.py", "from assets.checks import count_exact"),
        ("espalier/io/home.py", "import sensors.decide"),
        ("assets/partitions.py", "from sensors.decide import Memory"),
        ("espalier/stages/loading.py", "from espalier.apps.ndr import run_ndr"),
        ("espalier/io/progress.py", "from espalier.stages.graph import STAGES"),
        ("resources/home.py", "import assets.checks"),
        ("sensors/decide.py", "from espalier.cli.common import to_json"),
        ("espalier/core/names.py", "def late():\n    from resources import home\n    return home"),
    ],
)
def test_an_upward_import_is_refused(tree, planted, file, line):
    planted(file, line)
    said = lint_imports(tree)
    assert said.returncode != 0
    assert "floors: each knows only the floors below it BROKEN" in said.stdout
    assert file.removesuffix(".py").replace("/", ".") in said.stdout


@pytest.mark.parametrize("package", ["duckdb", "openvino", "pyarrow", "datumaro", "pathlib"])
def test_a_database_runtime_or_file_in_core_is_refused(tree, planted, package):
    planted("espalier/core/quota.py", f"import {package}")
    said = lint_imports(tree)
    assert said.returncode != 0
    assert "core is arithmetic: no database, runtime, table, picture, file or clock BROKEN" in said.stdout
    assert package in said.stdout


@pytest.mark.parametrize("file", ["core/quota.py", "io/home.py", "stages/clusters.py", "apps/ndr.py", "manifest.py"])
def test_dagster_is_refused_everywhere_in_the_library(tree, planted, file):
    planted(f"espalier/{file}", "import dagster")
    said = lint_imports(tree)
    assert said.returncode != 0
    assert "Dagster only in assets, resources, sensors, definitions.py and the command BROKEN" in said.stdout
    assert "put what" in ruff(tree, f"espalier/{file}").stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import dagster", "put what knows Dagster into assets/, resources/ or sensors/"),
        ("from dagster import asset", "put what knows Dagster into assets/, resources/ or sensors/"),
        (
            "def late():\n    import dagster\n    return dagster",
            "put what knows Dagster into assets/, resources/ or sensors/",
        ),
        ("import duckdb", "storage belongs to espalier/io/warehouse"),
        ("import PIL.Image", "decoding belongs to espalier/io/images"),
        ("import random", "Randomness comes in as a numpy Generator"),
        ("import time", "core has no clock"),
        ("import numpy as np\nRNG = np.random.default_rng(0)", "espalier.core.rng.generator"),
        ("from .errors import EspalierError", "TID252"),
    ],
)
def test_ruff_refuses_it_too_and_says_where_the_code_belongs(tree, planted, line, words):
    planted("espalier/core/names.py", line)
    said = ruff(tree, "espalier/core/names.py")
    assert said.returncode != 0
    assert words in said.stdout


def test_only_the_command_imports_dagster_in_the_library():
    files = [
        path for path in (ROOT / "espalier").rglob("*.py") if re.search("import dagster|from dagster", path.read_text())
    ]
    assert {path.parent.name for path in files} == {"cli"}


def test_the_bans_of_core_bind_no_other_floor(tree, planted):
    planted("espalier/io/home.py", "import random\nimport time\nimport duckdb")
    assert "TID251" not in ruff(tree, "espalier/io/home.py").stdout


def test_dagsters_folders_keep_out_the_future_import_that_breaks_its_configs():
    found = [
        str(path.relative_to(ROOT))
        for folder in ("assets", "resources", "sensors")
        for path in (ROOT / folder).rglob("*.py")
        if "from __future__ import annotations" in path.read_text()
    ]
    assert found == []


def test_every_generator_of_random_numbers_is_made_in_one_place():
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    makers = [path for path in files if re.search(r"np\.random\.(?!Generator\b(?!\())", path.read_text())]
    assert makers == [ROOT / "espalier/core/rng.py"]


def test_make_check_runs_both_tools():
    makefile = (ROOT / "Makefile").read_text()
    check = makefile[makefile.index("\ncheck:") :].split("\n\n")[0]
    assert "ruff check" in check
    assert "lint-imports" in check
