"""The fence: an import that goes up, or an orchestrator in the pure floor, is refused by ``make check``'s tools."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import definitions

ROOT = Path(definitions.__file__).parent
PACKAGES = ("espalier", "resources", "assets", "sensors", "cli")
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
        ("espalier/quota.py", "from resources.home import Home"),
        ("espalier/rng.py", "import assets.partitions"),
        ("resources/pictures/plots.py", "from assets.checks import count_exact"),
        ("resources/home.py", "import sensors.decide"),
        ("assets/loading.py", "from sensors.decide import Memory"),
        ("sensors/decide.py", "from cli.common import print_json"),
        ("espalier/names.py", "def late():\n    from resources import home\n    return home"),
    ],
)
def test_an_upward_import_is_refused(tree, planted, file, line):
    planted(file, line)
    said = lint_imports(tree)
    assert said.returncode != 0
    assert "floors: each knows only the floors below it BROKEN" in said.stdout
    assert file.removesuffix(".py").replace("/", ".") in said.stdout


@pytest.mark.parametrize("package", ["dagster", "duckdb", "openvino", "pyarrow", "datumaro"])
def test_an_orchestrator_or_runtime_in_the_pure_floor_is_refused(tree, planted, package):
    planted("espalier/quota.py", f"import {package}")
    said = lint_imports(tree)
    assert said.returncode != 0
    assert "the pure floor knows no orchestrator, database or runtime BROKEN" in said.stdout
    assert package in said.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import dagster", "put Dagster code into assets/ or sensors/"),
        ("from dagster import asset", "put Dagster code into assets/ or sensors/"),
        ("def late():\n    import dagster\n    return dagster", "put Dagster code into assets/ or sensors/"),
        ("import duckdb", "put storage into resources/"),
        ("import PIL.Image", "decoding belongs to resources/"),
        ("import random", "Randomness comes in as a numpy Generator"),
        ("import time", "The pure floor has no clock"),
        ("import numpy as np\nRNG = np.random.default_rng(0)", "espalier.rng.generator"),
        ("from .errors import EspalierError", "TID252"),
    ],
)
def test_ruff_refuses_it_too_and_says_where_the_code_belongs(tree, planted, line, words):
    planted("espalier/names.py", line)
    said = ruff(tree, "espalier/names.py")
    assert said.returncode != 0
    assert words in said.stdout


def test_no_file_of_the_pure_floor_names_dagster():
    files = [path for path in (ROOT / "espalier").rglob("*") if path.suffix in (".py", ".toml", ".md", ".json")]
    assert files
    assert [str(path.relative_to(ROOT)) for path in files if "dagster" in path.read_text(encoding="utf-8")] == []


def test_the_bans_of_the_pure_floor_bind_no_other_floor(tree, planted):
    planted("resources/home.py", "import random\nimport time\nimport duckdb")
    assert "TID251" not in ruff(tree, "resources/home.py").stdout


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
    assert makers == [ROOT / "espalier/rng.py"]


def test_make_check_runs_both_tools():
    makefile = (ROOT / "Makefile").read_text()
    check = makefile[makefile.index("\ncheck:") :].split("\n\n")[0]
    assert "ruff check" in check
    assert "lint-imports" in check
