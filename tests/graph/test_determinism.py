"""The same files and the same recipe give the same bytes, however the work was cut up."""

import functools
import os
import random
import subprocess
import sys

import pytest

import espalier.stages.encoded_vectors
from espalier.io.encoders import runner
from espalier.io.files import listing
from espalier.io.scanning.request import read_here
from resources import compute

RECIPES = ("density@0.3", "cluster_random@n11:seed=7")


def result(chain):
    """All that a home holds of a dataset."""
    return {recipe: chain.manifest(recipe) for recipe in RECIPES}, chain.versions()


@pytest.fixture(scope="module")
def first(tmp_path_factory, textures, new_chain):
    """What a plain run of two threads gives."""
    manifests, versions = result(new_chain(tmp_path_factory.mktemp("first") / "home", textures).grow(*RECIPES))
    assert manifests[RECIPES[0]]["kept.txt"] != manifests[RECIPES[1]]["kept.txt"]
    return manifests, versions


class Shuffled:
    """A folder as another file system might list it."""

    def __init__(self, path, real):
        self.names = [entry.name for entry in real(path)]
        self.entries = list(real(path))
        random.Random(len(self.entries)).shuffle(self.entries)
        self.left = iter(self.entries)

    def __enter__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.left)

    def __exit__(self, *_):
        pass

    def close(self):
        pass


def test_files_listed_in_another_order_give_the_same_bytes(first, tmp_path, textures, new_chain, monkeypatch):
    real, seen = os.scandir, []

    def scandir(path="."):
        shuffled = Shuffled(path, real)
        seen.append([entry.name for entry in shuffled.entries] != shuffled.names)
        return shuffled

    monkeypatch.setattr(listing.os, "scandir", scandir)
    chain = new_chain(tmp_path / "home", textures).grow(*RECIPES)
    assert any(seen)
    assert result(chain) == first


def test_other_batch_sizes_give_the_same_bytes(first, tmp_path, textures, new_chain, monkeypatch):
    """Rows a batch of the scan, images a block of the encoder, vectors a part."""
    monkeypatch.setattr(compute, "read_here", functools.partial(read_here, batch_size=5))
    monkeypatch.setattr(espalier.stages.encoded_vectors, "PART_ROWS", 7)
    monkeypatch.setattr(runner, "BLOCK", 8)
    assert result(new_chain(tmp_path / "home", textures).grow(*RECIPES)) == first


def test_one_thread_in_a_process_of_its_own_gives_the_same_bytes(first, tmp_path, textures, new_chain):
    """One thread of ours, of BLAS, of OpenMP and of OpenVINO, through the command line."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "OPENVINO")}
    for recipe in RECIPES:
        pruned = subprocess.run(
            [
                sys.executable,
                "-m",
                "espalier.cli",
                "prune",
                str(textures),
                "--name",
                "set",
                "--recipe",
                recipe,
                "--json",
            ],
            env={**os.environ, **one, "ESPALIER_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert pruned.returncode == 0, pruned.stderr
    assert result(new_chain(tmp_path / "home", textures)) == first
