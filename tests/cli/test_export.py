"""``espalier export`` and ``prune -o`` as a user runs them: whole, refused early, and the source replaced last."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from espalier.cli.export_request import ExportRequest
from espalier.cli.launch import Launcher
from espalier.cli.main import group
from espalier.cli.pruning import prune
from espalier.core.errors import EspalierError, UsageError
from espalier.core.recipe import Recipe
from espalier.io.home import Home
from espalier.manifest import Manifest
from espalier.stages.graph import EXPORT

RECIPE = "random@0.5:seed=7"


def pictures(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def home(regrown, monkeypatch):
    monkeypatch.setenv("ESPALIER_HOME", str(regrown.home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(regrown.home.root / "dagster"))
    return regrown


def run(home, target, wanted, recipe=RECIPE, **options):
    with Launcher(Home.find(home.home.root), bars=False) as launcher:
        return prune(launcher, target, Recipe.parse(recipe), wanted=wanted, **options)


def test_an_export_holds_exactly_what_the_manifest_keeps(home, tmp_path):
    summary = run(home, "set", ExportRequest(tmp_path / "out"))
    manifest = Manifest.load(summary["manifest"])
    assert pictures(tmp_path / "out") == {key: (home.data / key).read_bytes() for key in manifest}
    assert summary["ran"] == [EXPORT]
    assert summary["export"]["n_files"] == len(manifest) == summary["n_kept"]
    rows = home.table(EXPORT, RECIPE).arrow(["*"]).to_pylist()
    assert [row["sample_id"] for row in rows] == list(manifest)
    assert all(row["file"] == row["sample_id"] for row in rows)


def test_another_format_holds_the_same_and_what_it_cannot_hold_is_told(home, tmp_path):
    from espalier.io.formats.read.detect import open_reader
    from espalier.io.landing.cards import Card

    out = tmp_path / "out"
    done = cli(home, "export", "set", RECIPE, "-o", str(out), "--format", "csv", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    manifest = Manifest.load(summary["manifest"])
    found = [s for batch in open_reader(Card("out", str(out))).batches(9) for s in batch]
    assert {s.sample_id for s in found} == set(manifest)
    assert all(s.labels == (s.sample_id.split("/")[0],) for s in found)
    assert all(Path(s.uri).read_bytes() == (home.data / s.sample_id).read_bytes() for s in found)
    assert summary["export"]["notes"] == []
    said = cli(home, "export", "set", RECIPE, "-o", str(tmp_path / "yolo"), "--format", "yolo").output
    assert "note: yolo does not hold" in said
    assert "label annotations" in said


def test_the_asset_needs_no_word_of_where(home):
    result = home.defs.resolve_job_def("exports")
    assert result is not None
    from assets.partitions import DATASET, manifest_key
    from assets.partitions import RECIPE as DIMENSION

    home.instance.add_dynamic_partitions(DATASET, ["set"])
    home.instance.add_dynamic_partitions(DIMENSION, [RECIPE])
    for _ in range(2):  # its own folder is replaced
        done = result.execute_in_process(instance=home.instance, partition_key=manifest_key("set", RECIPE))
        assert home.succeeded(done)
    out = home.home.root / "exports" / "set" / RECIPE.replace(":", "~")
    assert len(pictures(out)) == home.table(EXPORT, RECIPE).meta.stats["n_files"] > 0


def test_a_taken_folder_a_wrong_format_and_the_data_itself_are_refused_before_anything_runs(home, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    before = home.files()
    recipe = "random@0.1"  # not made yet
    for wanted, why in (
        (ExportRequest(tmp_path / "out"), "not empty"),
        (ExportRequest(tmp_path / "new", format_name="roboflow_voc"), "not written"),
        (ExportRequest(home.data / "sub"), "lie in each other"),
        (ExportRequest(Path("s3://bucket/set")), "is a URL"),
        (ExportRequest(tmp_path / "new", format_name="webdataset", link=True), "no pictures that could be links"),
        (ExportRequest(tmp_path / "new", format_name="coco", link=True), "no pictures that could be links"),
    ):
        with pytest.raises(UsageError, match=why):
            run(home, "set", wanted, recipe)
    assert home.files() == before
    assert not (tmp_path / "new").exists()


def test_files_that_change_meanwhile_leave_the_target_as_it_was(home, tmp_path, monkeypatch):
    import espalier.stages.pruned_dataset as stage

    data = tmp_path / "moving"
    shutil.copytree(home.data, data)
    run(home, str(data), None)
    write = stage.choose_writer

    def meddling(source, asked=""):
        name, writer = write(source, asked)

        def slow(*args, **kwargs):
            files = writer(*args, **kwargs)
            (data / "bark" / "new.png").write_bytes(b"x")
            return files

        return name, slow

    monkeypatch.setattr(stage, "choose_writer", meddling)
    with pytest.raises(EspalierError, match="changed since"):
        run(home, "moving", ExportRequest(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_in_place_replaces_the_source_by_the_subset_when_it_is_whole(home, tmp_path):
    data = tmp_path / "mine"
    shutil.copytree(home.data, data)
    whole = pictures(data)
    summary = run(home, str(data), ExportRequest(None, overwrite=True, in_place=True))
    manifest = Manifest.load(summary["manifest"])
    assert pictures(data) == {key: whole[key] for key in manifest}
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".mine")]


def test_an_interrupted_replacement_leaves_the_source_whole(home, tmp_path, monkeypatch):
    from espalier.io.formats.write import place

    data = tmp_path / "mine"
    shutil.copytree(home.data, data)
    whole = pictures(data)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, "put", die)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - however Dagster wraps it
        run(home, str(data), ExportRequest(None, overwrite=True, in_place=True))
    assert pictures(data) == whole


def test_a_note_that_an_export_does_not_carry_over_keeps_the_source_from_being_replaced(home, tmp_path):
    data = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (data / name).mkdir(parents=True)
    names = []
    for i, key in enumerate(sorted(pictures(home.data))[:8]):
        shutil.copy(home.data / key, data / f"JPEGImages/{i}.png")
        (data / f"Annotations/{i}.xml").write_text("<annotation></annotation>")
        names.append(f"{i}\n")
    (data / "ImageSets/Main/train.txt").write_text("".join(names))
    (data / "LICENSE").write_text("mine")
    whole = pictures(data)
    with pytest.raises((UsageError, EspalierError), match="does not carry over LICENSE"):
        run(home, str(data), ExportRequest(None, overwrite=True, in_place=True), format_name="voc")
    assert pictures(data) == whole
    (data / "LICENSE").unlink()
    summary = run(home, str(data), ExportRequest(None, overwrite=True, in_place=True))
    kept = set(Manifest.load(summary["manifest"]))
    assert (
        {p.stem for p in (data / "JPEGImages").iterdir()} == kept == {p.stem for p in (data / "Annotations").iterdir()}
    )


IN_PLACE = """
import os, signal, sys
folder, at, count = sys.argv[1], int(sys.argv[2]), 0
def hook(event, args):
    global count
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and str(args[0]).startswith(folder):
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from espalier.cli.main import main
main(["export", "mine", sys.argv[3], "--in-place", "--overwrite"])
"""


@pytest.mark.slow
def test_a_replacement_in_place_killed_at_any_step_leaves_the_old_folder_or_the_new_one(home, tmp_path):
    data = tmp_path / "mine"
    shutil.copytree(home.data, data)
    whole = pictures(data)
    manifest = Manifest.load(run(home, str(data), None)["manifest"])
    kept = {key: whole[key] for key in manifest}
    for at in (1, 7, 40, 90, 120, 10**6):
        command = [sys.executable, "-c", IN_PLACE, str(tmp_path), str(at), RECIPE]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        assert pictures(data) in (whole, kept)
        if pictures(data) == kept:
            break
        assert ended.returncode, "a run that gets through replaces the folder"
    assert at > 1
    assert pictures(data) == kept


def cli(home, *args):
    return CliRunner().invoke(group, list(args), catch_exceptions=True)


def test_a_datum_user_finds_the_old_words(home, tmp_path):
    out = str(tmp_path / "out")
    done = cli(home, "prune", "set", "-m", "query_clust", "-r", "0.5", "--hash-type", "txt", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["recipe"] == "query_clust@0.5:hash=txt"
    assert len(pictures(tmp_path / "out")) == summary["n_kept"]
    again = cli(home, "prune", "set", "-m", "query_clust", "--hash-type", "txt", "-o", out)
    assert isinstance(again.exception, UsageError)
    assert cli(home, "prune", "set", "-m", "query_clust", "--hash-type", "txt", "-o", out, "--overwrite").exit_code == 0
    joined = json.loads(cli(home, "prune", "set", "-m", "query_clust", "--hash-type", "both", "--json").stdout)
    assert joined["recipe"] == "query_clust@0.5:hash=both"
    default = json.loads(cli(home, "prune", "set", "--hash-type", "img", "--json").stdout)
    assert default["recipe"] == "random@0.5"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["prune", "set", "--hash-type", "txt"], "no meaning for random"),
        (["prune", "set", "-m", "centroid", "--hash-type", "both"], "both has no meaning for centroid"),
        (["prune", "set", "--recipe", "random@0.5", "--hash-type", "both"], "Write :hash=both into the recipe"),
        (["prune", "set", "--overwrite"], "what -o writes"),
        (["prune", "set", "--in-place"], "Add --overwrite"),
        (["prune", "set", "-o", "x", "--in-place", "--overwrite"], "two places"),
        (["export", "set", "random@0.5"], "no folder to write to"),
        (["export", "nobody", "random@0.5", "-o", "x"], "no dataset 'nobody'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(home, args, why):
    done = cli(home, *args)
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)
