"""What a user does wrong: one clear line (what, which, remedy), the right exit code, nothing half-written."""

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from espalier.io.scanning import scan
from espalier.io.scanning.request import read_here
from resources import compute


@pytest.fixture(scope="module")
def landed(tmp_path_factory, textures, espalier):
    """A home with one landed dataset that nothing was run on, as every case here leaves it."""
    home = tmp_path_factory.mktemp("bad") / "home"
    assert espalier("land", textures, home=home).code == 0
    return home


def refused(espalier, files_below, home, *args, code):
    """Run a command that must fail in one line and change no file; return the line."""
    before = files_below(home)
    said = espalier(*args, home=home)
    assert said.code == code, said
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in said.err
    assert files_below(home) == before
    return lines[0].removeprefix("error: ")


WRONG_USE = {
    "an unknown dataset": (["nope"], ["There is no dataset 'nope'.", "Landed: textures.", "espalier land PATH"]),
    "an unknown method": (["textures", "-m", "densty"], ["'densty'", "density"]),
    "an unknown parameter": (["textures", "-m", "density", "--param", "keeep=easy"], ["no parameter 'keeep'", "keep"]),
    "a parameter of another method": (["textures", "-m", "random", "--param", "keep=easy"], ["no parameter 'keep'"]),
    "a parameter's wrong value": (
        ["textures", "-m", "density", "--param", "keep=best"],
        ["keep=best is not valid.", "hard | easy | random"],
    ),
    "a parameter without a value": (
        ["textures", "--param", "seed"],
        ["--param 'seed' is not NAME=VALUE.", "keep=easy"],
    ),
    "a parameter given twice": (["textures", "--param", "seed=1", "--param", "seed=2"], ["seed is given twice"]),
    "the ratio 0": (["textures", "-r", "0"], ["'0' is out of range", "above 0, up to 1"]),
    "a ratio above 1": (["textures", "-r", "1.5"], ["'1.5' is ambiguous", "1.5%", "n1"]),
    "a share above 100 %": (["textures", "-r", "101%"], ["'101%' is out of range"]),
    "a negative ratio": (["textures", "--ratio=-0.3"], ["'-0.3' is not a ratio"]),
    "no number": (["textures", "-r", "half"], ["'half' is not a ratio", "0.28 or 28%", "n50000"]),
    "a bare 80": (["textures", "-r", "80"], ["'80' is ambiguous", "80%", "n80"]),
    "the count 0": (["textures", "-r", "n0"], ["at least one sample"]),
    "a recipe without a ratio": (["textures", "--recipe", "density"], ["'density' is not a recipe", "density@0.28"]),
    "an unknown option": (["textures", "--option", "kk=5"], ["no option 'kk'", "Known: max_pixels"]),
    "an option out of range": (["textures", "--option", "eps=7"], ["eps is 7", "from 0 to 2"]),
    "an option that is no pair": (["textures", "--option", "k"], ["'k' is not name=value", "k=50"]),
    "an unknown format": (["{textures}", "--format", "image_foldr"], ["no format 'image_foldr'", "image_folder"]),
    "a name like a path": (["{textures}", "--name", "../x"], ["'../x' is not a dataset name", "for example 'x'"]),
    "a name with a bar": (["{textures}", "--name", "a|b"], ["'a|b' is not a dataset name", "'a-b'"]),
    "an empty name": (["{textures}", "--name", ""], ["'' is not a dataset name"]),
    "a name like a range": (["{textures}", "--name", "x...y"], ["'x...y' is not a dataset name"]),
    "a name in capitals": (["{textures}", "--name", "Cats"], ["'Cats' is not a dataset name", "'cats'"]),
    "a dataset in capitals": (["Textures"], ["'Textures' is not a dataset name"]),
    "a name that is taken": (["{textures}/leaf", "--name", "textures"], ["'textures' is taken by", "--name"]),
}


@pytest.mark.parametrize("mistake", WRONG_USE)
def test_wrong_use_is_refused_at_once(landed, espalier, files_below, textures, mistake):
    arguments, words = WRONG_USE[mistake]
    arguments = [a.format(textures=textures) for a in arguments]
    line = refused(espalier, files_below, landed, "prune", *arguments, code=2)
    assert all(word in line for word in words), line


def test_a_path_to_nothing_is_named(landed, espalier, files_below, tmp_path):
    for command in ("prune", "land"):
        line = refused(espalier, files_below, landed, command, tmp_path / "nothing", code=1)
        assert line == f"There is nothing at {tmp_path / 'nothing'}. Check the path."


def test_an_empty_folder_is_refused_before_it_is_landed(landed, espalier, files_below, tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    for command in ("prune", "land"):
        line = refused(espalier, files_below, landed, command, tmp_path / "empty", code=1)
        assert line == f"{tmp_path / 'empty'} holds no file. Point to the folder that holds the pictures."


def card(home, name, text):
    file = home / "landing" / f"{name}.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uri: ../../etc\n", "uri ../../etc leaves the landing zone. Write the absolute path."),
        ("uri: /there/is/nothing\n", "uri names /there/is/nothing, and there is nothing."),
        ("format: image_folder\n", "uri is missing. Say where the data lies"),
        ("uri: [a, b]\n", "uri is ['a', 'b']. Write a path or a URL"),
        ("uri: {textures}\noption: {{k: 5}}\n", "unknown field 'option'. Did you mean 'options'?"),
        ("uri: {textures}\noptions: {{kk: 5}}\n", "there is no option 'kk'"),
        ("uri: {textures}\nformat: image_foldr\n", "no format 'image_foldr'"),
        ("uri: 'x\n", "is not YAML"),
        ("- a\n- b\n", "holds a list, not a mapping"),
    ],
)
def test_a_faulty_card_is_named_with_its_field(landed, espalier, files_below, textures, text, words):
    file = card(landed, "faulty", text.format(textures=textures))
    try:
        before = files_below(landed)
        said = espalier("prune", "faulty", "-m", "random", "-r", "0.5", home=landed)
        assert said.code in (1, 2)
        assert said.err.count("error: ") == 1
        assert words in said.err
        assert "faulty" in said.err
        assert "Traceback" not in said.err
        assert files_below(landed) == before
    finally:
        file.unlink()


def write(path, data):
    path.write_bytes(data)
    return path


MODELS = {
    "no file": (lambda _: None, "There is no model at"),
    "a text called model": (lambda p: write(p, b"this is no model"), "model.xml"),
    "an empty file": (lambda p: write(p, b""), "model.xml"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("way", ["option", "card"])
def test_a_model_file_that_is_none_is_refused_before_anything_runs(
    landed, espalier, files_below, textures, tmp_path, kind, way
):
    make, words = MODELS[kind]
    make(tmp_path / "model.xml")
    if way == "option":
        arguments = ["prune", textures, "--name", "other", "--option", f"encoder={tmp_path / 'model.xml'}"]
        line = refused(espalier, files_below, landed, *arguments, code=1)
    else:
        file = card(landed, "modelled", f"uri: {textures}\noptions:\n  encoder: {tmp_path / 'model.xml'}\n")
        try:
            line = refused(espalier, files_below, landed, "prune", "modelled", code=1)
        finally:
            file.unlink()
    assert words in line
    assert str(tmp_path / "model.xml") in line


def test_all_files_unreadable_fails_the_check_and_stores_nothing(landed, espalier, files_below, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"no picture %d" % i)
    espalier("land", folder, home=landed)
    try:
        line = refused(espalier, files_below, landed, "prune", "broken", code=1)
        assert "raw_dataset: the check some_readable does not hold" in line
        assert "No sample of this dataset can be read" in line
        assert "What was stored before is unchanged." in line
    finally:
        espalier("forget", "broken", "--yes", home=landed)


def test_a_folder_without_pictures_is_refused(landed, espalier, files_below, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no picture")
    espalier("land", tmp_path / "texts", home=landed)
    try:
        line = refused(espalier, files_below, landed, "prune", "texts", code=1)
        assert str(tmp_path / "texts") in line
    finally:
        espalier("forget", "texts", "--yes", home=landed)


@pytest.fixture(scope="module")
def used(tmp_path_factory, textures, espalier):
    """A home where the textures were pruned once; each test here leaves a dataset of its own."""
    home = tmp_path_factory.mktemp("used") / "home"
    assert espalier("prune", textures, "-r", "0.5", home=home).code == 0
    return home


def test_a_count_above_the_samples_that_reach_pruning_is_refused_and_no_manifest_is_written(
    used, espalier, files_below
):
    total = espalier("prune", "textures", "-r", "0.5", "--json", home=used).json()["n_total"]
    line = refused(espalier, files_below, used, "prune", "textures", "-r", "n5000", code=2)
    assert line == f"n5000 asks for more than the {total} samples that reach pruning. Write n{total} or fewer."


def test_a_recipe_needs_what_the_dataset_lacks(used, tmp_path, espalier, textures, files_below):
    """Labels for entropy: a flat folder has none."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, source in enumerate(sorted(textures.glob("*/0?.png"))[:12]):
        shutil.copy(source, flat / f"{i}.png")
    assert espalier("prune", flat, "-r", "0.5", home=used).code == 0
    line = refused(espalier, files_below, used, "prune", "flat", "-m", "entropy", "-r", "0.5", code=1)
    assert line.startswith("entropy needs labels, which this dataset lacks. Methods that do without")


def test_one_sample_is_a_dataset(used, tmp_path, espalier, textures):
    (tmp_path / "one").mkdir()
    shutil.copy(textures / "leaf/01.png", tmp_path / "one" / "only.png")
    for recipe in ("density@0.3", "random@n1"):
        summary = espalier("prune", tmp_path / "one", "--recipe", recipe, "--json", home=used).json()
        assert (summary["n_raw"], summary["n_total"], summary["n_kept"]) == (1, 1, 1), recipe


def test_ratio_1_keeps_all_that_reach_pruning(used, espalier):
    for method, ratio in (("density", "1"), ("random", "100%"), ("cluster_random", "1.0")):
        summary = espalier("prune", "textures", "-m", method, "-r", ratio, "--json", home=used).json()
        assert summary["recipe"] == f"{method}@1"
        assert summary["n_kept"] == summary["n_total"]


def test_more_clusters_than_samples_gives_at_most_one_a_sample(used, espalier, textures):
    arguments = ["prune", textures, "--name", "many", "-m", "density", "-r", "0.3", "--option", "k=5000"]
    summary = espalier(*arguments, "--json", home=used).json()
    query = "select count(distinct cluster) as k from clusters where dataset = 'many'"
    assert 0 < espalier("sql", query, "--json", home=used).json()[0]["k"] <= summary["n_total"]


def test_files_that_change_during_a_run_are_said_to(used, tmp_path, espalier, textures, files_below, monkeypatch):
    changing = shutil.copytree(textures, tmp_path / "changing")
    espalier("land", changing, home=used)
    real = scan.read_blob

    def slow(uri):
        (changing / "leaf" / "late.png").write_bytes((textures / "leaf/01.png").read_bytes())
        return real(uri)

    monkeypatch.setattr(scan, "read_blob", slow)
    monkeypatch.setattr(compute, "read_in_subprocess", read_here)
    line = refused(espalier, files_below, used, "prune", "changing", code=1)
    assert line == "The files of 'changing' changed while they were read. Run again when they have settled."
    monkeypatch.undo()
    assert espalier("prune", "changing", "--json", home=used).json()["n_raw"] == 48


def without_privilege():
    """Give up root's right to write everywhere (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
                raise OSError("PR_CAPBSET_DROP is not allowed")


@pytest.mark.parametrize("closed", ["home", "home/warehouse", "home/manifests", "home/dagster", "home/landing"])
def test_a_home_that_cannot_be_written_is_named(tmp_path, textures, closed):
    target = tmp_path / closed
    target.mkdir(parents=True)
    target.chmod(0o555)
    try:
        said = subprocess.run(
            [sys.executable, "-m", "espalier.cli", "prune", str(textures)],
            env={**os.environ, "ESPALIER_HOME": str(tmp_path / "home")},
            preexec_fn=without_privilege,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        target.chmod(0o755)
    assert said.returncode == 1, said.stderr
    assert said.stderr.count("\n") == 1, said.stderr
    assert f"Cannot write to {target}" in said.stderr
    assert "ESPALIER_HOME" in said.stderr
    assert not list(target.iterdir())


def test_a_home_that_is_a_file_is_named(tmp_path, espalier, textures):
    (tmp_path / "home").write_text("a file")
    said = espalier("prune", textures, home=tmp_path / "home")
    assert said.code == 1
    assert f"Cannot write to {tmp_path / 'home'}" in said.err
    assert "Traceback" not in said.err
