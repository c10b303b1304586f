"""``pip install espalier`` alone: numpy, pyarrow and marisa-trie are all that the algorithms and manifests need."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONLY = """
import importlib, importlib.abc, pkgutil, sys
ALLOWED = {"numpy", "pyarrow", "marisa_trie", "espalier"}

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Refuse())
import espalier.core, espalier.manifest
for module in pkgutil.walk_packages(espalier.core.__path__, "espalier.core."):
    importlib.import_module(module.name)

import numpy as np
from espalier.core.dedup.near import find_duplicates
from espalier.core.kmeans import fit_kmeans
from espalier.core.rng import generator

rng = generator(0, "light")
vectors = rng.standard_normal((200, 16)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
assert fit_kmeans(vectors, 5, rng=rng).k == 5
grids = rng.integers(0, 60000, (20, 243)).astype(np.uint16)
grids[1] = grids[0]
kept = find_duplicates(np.arange(20), grids, (np.arange(20), np.arange(20))).kept
assert kept.sum() == 19

from espalier.core.errors import EspalierError
from espalier.core.evaluate import logistic_probe
try:
    logistic_probe(vectors, np.arange(200) % 3, vectors, np.arange(200) % 3)
except EspalierError as error:
    assert 'pip install "espalier[platform]"' in str(error)
else:
    raise AssertionError("the probe ran without scipy")
"""


def test_the_base_install_names_three_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    assert names == {"numpy", "pyarrow", "marisa-trie"}


def test_the_algorithms_run_with_these_three():
    done = subprocess.run([sys.executable, "-c", ONLY], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
