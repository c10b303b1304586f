"""pyproject.toml: every extra is one that some code imports."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = ("espalier", "resources", "assets", "sensors", "cli")
EXTRAS = {name: packages for name, packages in PROJECT["optional-dependencies"].items() if name != "dev"}


def imported():
    """The first parts of all modules that the code imports."""
    names = set()
    for file in [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


def modules_of(package):
    """The modules that a distribution is imported by; its own name where it is not installed."""
    return {m for m, owners in packages_distributions().items() if package in owners} or {package.replace("-", "_")}


@pytest.mark.parametrize("extra", EXTRAS)
def test_some_code_imports_what_an_extra_installs(extra):
    packages = [re.match(r"[\w-]+", requirement)[0] for requirement in EXTRAS[extra]]
    assert imported() & set().union(*map(modules_of, packages))
