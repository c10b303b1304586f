"""``espalier dedup --ndr``: Datumaro's plugin by its own names, beside the chain's duplicates, not instead of them."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espalier.apps.ndr import members, run_ndr
from espalier.core.dedup.ndr import Ndr, ndr_features
from espalier.io.home import Home
from espalier.io.images.decode import decode_rgb


@pytest.fixture(scope="module")
def split(tmp_path_factory, kit):
    """Twelve pictures in train, six of them with a pale copy; four in test, of which one copies one of train."""
    data = tmp_path_factory.mktemp("ndr") / "photos"
    for subset, numbers in (("train", range(12)), ("test", (1, 50, 51, 52))):
        (data / subset / "x").mkdir(parents=True)
        for number in numbers:
            kit.texture(number).save(data / subset / "x" / f"{number:02}.png")
    for number in range(6):
        kit.texture(number).point(lambda v: v * 0.95 + 8).save(data / "train/x" / f"{number:02}-pale.png")
    return data


@pytest.fixture(scope="module")
def home(tmp_path_factory, split, espalier):
    """A home in which NDR ran once, and nothing else did."""
    home = tmp_path_factory.mktemp("ndr-home") / "home"
    assert espalier("dedup", split, "--ndr", home=home).code == 0
    return home


def ndr(espalier, home, *args):
    return espalier("dedup", "photos", "--ndr", *args, "--json", home=home).json()


def test_the_help_has_every_parameter_of_the_plugin_in_a_section_of_its_own(tmp_path, espalier):
    said = espalier("dedup", "--help", home=tmp_path).out
    plain, own = said.split("Datumaro's NDR, with --ndr:")
    for field in dataclasses.fields(Ndr):
        option = "--" + field.name.replace("_", "-")
        assert option in own
        assert option not in plain
    assert "[keep_one|paper]" in plain


def test_copies_leave_the_working_subset_and_the_chain_is_not_touched(home, espalier):
    found = ndr(espalier, home, "-w", "train", "-d", "copies")
    assert found["subsets"] == {
        "copies": {"before": 0, "after": 6},
        "test": {"before": 4, "after": 4},
        "train": {"before": 18, "after": 12},
    }
    for row in found["removed"]:
        assert row["sample_id"][:10] == row["duplicate_of"][:10]
        assert row["similarity"] >= 0.5
    assert [p.name for p in (home / "warehouse").iterdir()] == ["raw_dataset"]
    assert "chain" not in (home / "landing/photos.yaml").read_text()


def test_without_a_working_subset_copies_in_any_subset_go(home, espalier):
    found = ndr(espalier, home)
    assert found["n_duplicates"] == 7
    assert {row["subset"] for row in found["removed"]} <= {"train", "test"}


def test_copies_across_subsets_stay_when_each_is_worked_in_by_itself(home, espalier):
    found = ndr(espalier, home, "--per-subset")
    assert found["parameters"]["per_subset"] is True
    assert found["subsets"]["train"] == {"before": 18, "after": 12}
    assert found["subsets"]["test"] == {"before": 4, "after": 4}
    shared = ndr(espalier, home, "--per_subset", "-k", 11)
    assert {name: shared["subsets"][name]["after"] for name in ("train", "test")} == {"train": 9, "test": 2}


def test_the_recall_of_an_index_is_printed_and_stored(home, espalier, monkeypatch):
    exact = ndr(espalier, home)
    assert (exact["pair_search"], exact["pair_recall"]) == ("exact", 1.0)
    monkeypatch.setattr("espalier.core.dedup.near.neighbours.EXACT_LIMIT", 10)
    found = ndr(espalier, home)
    assert (found["pair_search"], found["pair_recall"]) == ("index", 1.0)
    assert found["pairs_checked"] > 0
    said = espalier("dedup", "photos", "--ndr", home=home).out
    assert f"sought by an index: recall 1.000, of {found['pairs_checked']} in a sample." in said


def test_a_recipe_prints_and_stores_the_recall_of_the_index(home, espalier, tmp_path, monkeypatch):
    home = shutil.copytree(home, tmp_path / "home")
    monkeypatch.setattr("espalier.core.dedup.near.neighbours.EXACT_LIMIT", 10)
    recipe = ("prune", "photos", "-m", "ndr", "-r", "0.5", "--param", "sim_threshold=0.01")
    assert "sought by an index: recall" in espalier(*recipe, home=home).out
    told = espalier(*recipe, "--json", home=home).json()
    stored = json.loads((Path(told["manifest"]) / "summary.json").read_text())
    assert stored["pair_search"] == told["pair_search"] == "index"
    assert stored["pair_recall"] == told["pair_recall"]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_verdicts_are_those_of_the_library_on_the_whole_pictures(home, split, threads):
    raw = Home.find(home).store().need("raw_dataset", "photos")
    parameters = Ndr(working_subset="train", num_cut=9, under_sample="inverse", seed=5)
    files = sorted((split / "train").rglob("*.png"))
    expected = Ndr(num_cut=9, under_sample="inverse", seed=5)(ndr_features([decode_rgb(f.read_bytes()) for f in files]))
    seen = []
    found = run_ndr("photos", members(raw, parameters), parameters, threads=threads, progress=seen.append)
    assert found.samples["sample_id"].to_pylist() == [str(f.relative_to(split)) for f in files]
    gone = {row["sample_id"] for row in found.removed()}
    assert gone == {str(files[row].relative_to(split)) for row in np.flatnonzero(~expected.kept)}
    assert sum(seen) == 18


@pytest.mark.parametrize("spelling", ["--num_cut", "--num-cut", "-k"])
def test_num_cut_is_exact_in_every_spelling_and_each_fate_is_counted(home, espalier, spelling):
    few = ndr(espalier, home, "-w", "train", spelling, 5)
    assert (few["n_kept"], few["n_duplicates"], few["n_cut"], len(few["removed"])) == (5, 6, 7, 13)
    many = ndr(espalier, home, "-w", "train", spelling, 16, "--over_sample=similarity")
    assert (many["n_kept"], many["n_duplicates"], many["n_brought_back"]) == (16, 2, 4)
    assert many["parameters"]["over_sample"] == "similarity"


def test_every_parameter_reaches_the_plugin(home, espalier):
    words = "-w train -d gone -a gradient -k 7 -e similarity -u inverse -s 0 --block-shape 4x5 --hash-dim 16"
    given = ndr(espalier, home, *words.split(), "--sim-threshold", "0.9")["parameters"]
    assert given == {
        "working_subset": "train",
        "per_subset": False,
        "duplicated_subset": "gone",
        "algorithm": "gradient",
        "num_cut": 7,
        "over_sample": "similarity",
        "under_sample": "inverse",
        "block_shape": [4, 5],
        "hash_dim": 16,
        "sim_threshold": 0.9,
        "seed": 0,
    }


def test_the_removed_samples_are_listed_in_a_file(home, espalier, tmp_path):
    plain, table = tmp_path / "removed.txt", tmp_path / "removed.csv"
    said = espalier("dedup", "photos", "--ndr", "-w", "train", "-o", plain, home=home)
    assert said.code == 0
    assert "kept 12 of 18: 6 duplicates" in said.out
    found = ndr(espalier, home, "-w", "train", "-o", table)
    assert plain.read_text().splitlines() == [row["sample_id"] for row in found["removed"]]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["sample_id"], r["duplicate_of"]) for r in rows] == [
        (r["sample_id"], r["duplicate_of"]) for r in found["removed"]
    ]
    refused = espalier("dedup", "photos", "--ndr", "-o", plain, home=home)
    assert (refused.code, "is there already" in refused.err) == (2, True)
    assert espalier("dedup", "photos", "--ndr", "-k", 0, "-o", plain, "--overwrite", home=home).code == 0
    assert len(plain.read_text().splitlines()) == 22


def test_a_picture_that_is_gone_meanwhile_stays_as_it_is(tmp_path, split, espalier):
    data = shutil.copytree(split, tmp_path / "photos")
    home = tmp_path / "home"
    espalier("dedup", data, "--ndr", home=home)
    raw = Home.find(home).store().need("raw_dataset", "photos")
    (data / "train/x/00.png").unlink()
    found = run_ndr("photos", members(raw, Ndr()), Ndr(), threads=2).summary()
    assert found["unreadable"] == {"train/x/00.png": "there is no such file"}
    assert (found["n_kept"], found["n_duplicates"]) == (15, 6)


def test_samples_without_a_subset_are_those_of_default_as_in_datumaro(tmp_path, espalier, kit):
    data = tmp_path / "flat"
    data.mkdir()
    for number in (1, 2):
        kit.texture(number).save(data / f"{number}.png")
    Image.open(data / "1.png").convert("RGBA").save(data / "1-again.png")
    found = espalier("dedup", data, "--ndr", "-w", "default", "--json", home=tmp_path / "home").json()
    assert found["subsets"]["default"] == {"before": 3, "after": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-k 5", "Add --ndr"),
        ("--ndr --save sheets", "--save: of Espalier's own search"),
        ("--ndr --eps 0.1", "--eps: of Espalier's own search"),
        ("--ndr --no-flips", "--flips: of Espalier's own search"),
        ("--ndr -w val", "Known: test, train"),
        ("--ndr -w train -d train", "both 'train'"),
        ("--ndr -w train --per-subset", "per_subset has no effect with working_subset"),
        ("--ndr --block-shape 0x8", "ROWSxCOLUMNS"),
        ("--ndr --sim-threshold 0", "sim_threshold"),
        ("--ndr --hash-dim 770", "exceeds the 769 entries"),
        ("--ndr -e most", "most"),
        ("--ndr -k -1", "num_cut"),
        ("--ndr -o nowhere/list.txt", "There is no folder"),
    ],
)
def test_wrong_use_is_refused_and_says_what_to_do(home, espalier, words, said):
    answer = espalier("dedup", "photos", *words.split(), home=home)
    assert answer.code == 2
    assert said in answer.err


def test_more_than_there_is_cannot_be_kept(home, espalier):
    answer = espalier("dedup", "photos", "--ndr", "-w", "train", "-k", 19, home=home)
    assert answer.code == 1
    assert "cannot keep 19 of 18 samples" in answer.err
