"""Contact sheets and lists as files that anybody can open."""

import csv
import shutil

import pytest
from PIL import Image

STAGES = ("raw_dataset", "dedup_set")


@pytest.fixture(scope="module")
def planted(tmp_path_factory, kit):
    """Train with copies of two pictures, and test with a picture that stands in train, too."""
    data = tmp_path_factory.mktemp("files") / "photos"
    for subset, numbers in (("train", range(14)), ("test", (60, 61, 62))):
        (data / subset).mkdir(parents=True)
        for number in numbers:
            kit.texture(number).save(data / subset / f"{number:02}.png")
    for size in (40, 50, 56):
        kit.texture(3).resize((size, size)).save(data / "train" / f"03-{size}.png")
    shutil.copyfile(data / "train/05.png", data / "train/05-again.png")
    shutil.copyfile(data / "test/60.png", data / "train/leaked.png")
    return data


@pytest.fixture(scope="module")
def home(tmp_path_factory, planted, espalier):
    home = tmp_path_factory.mktemp("files-home") / "home"
    assert espalier("dedup", planted, home=home).code == 0
    return home


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image.format, image.size


def test_the_sheets_are_pictures_in_the_home_and_the_command_names_them(home, espalier):
    said = espalier("dedup", "photos", home=home)
    folder = home / "reports/photos"
    assert sorted(p.name for p in folder.iterdir())[:3] == [
        "dedup-groups.png",
        "dedup-leaks.png",
        "dedup-threshold.png",
    ]
    for path in folder.iterdir():
        assert opened(path)[0] == "PNG"
        assert f"contact sheet: {path}" in said.out
    # three groups; the largest has four pictures of 112 + 6 pixels and a margin
    assert opened(folder / "dedup-groups.png")[1][0] >= 4 * 118 + 6


def test_save_writes_the_sheets_and_the_list(home, espalier, tmp_path):
    folder = tmp_path / "sheets"
    found = espalier("dedup", "photos", "--save", folder, "--json", home=home).json()
    assert found["saved"] == [str(p) for p in sorted(folder.iterdir(), key=lambda p: found["saved"].index(str(p)))]
    assert {"dedup-groups.png", "dedup-leaks.png", "dedup-threshold.png", "dropped.csv"} <= {
        p.name for p in folder.iterdir()
    }
    with (folder / "dropped.csv").open(newline="") as file:
        rows = {row["sample_id"]: row for row in csv.DictReader(file)}
    assert rows["train/leaked.png"]["duplicate_of"] == "test/60.png"
    assert {row["stage"] for row in rows.values()} <= {"exact", "near", "semantic"}
    assert len(rows) == found["n_exact"] + found["n_near"] + found["n_semantic"]


def test_a_folder_that_holds_something_is_written_to_only_when_that_is_asked_for(home, espalier, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "semantic-pairs.png").write_text("of an earlier answer")
    refused = espalier("dedup", "photos", "--save", tmp_path, home=home)
    assert (refused.code, "not empty" in refused.err) == (2, True)
    assert espalier("dedup", "photos", "--save", tmp_path, "--overwrite", home=home).code == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    sheet = tmp_path / "semantic-pairs.png"
    assert not sheet.exists() or opened(sheet)[0] == "PNG"


def test_the_dropped_samples_are_listed_in_a_file(home, espalier, tmp_path):
    out = tmp_path / "dropped.txt"
    found = espalier("dedup", "photos", "-o", out, "--json", home=home).json()
    assert len(out.read_text().splitlines()) == found["n_raw"] - found["n_kept"]
    refused = espalier("dedup", "photos", "-o", out, home=home)
    assert (refused.code, "is there already" in refused.err) == (2, True)


def test_a_sheet_goes_when_it_has_nothing_to_show_any_more(tmp_path, planted, kit):
    data = shutil.copytree(planted, tmp_path / "photos")
    chain = kit.Chain(tmp_path / "home", data)
    assert chain.succeeded(chain.run(*STAGES))
    sheet = chain.home.reports / "set/dedup-leaks.png"
    assert sheet.exists()
    (data / "train/leaked.png").unlink()
    assert chain.succeeded(chain.run(*STAGES))
    assert not sheet.exists()
    assert (chain.home.reports / "set/dedup-groups.png").exists()


def test_a_refused_result_leaves_the_sheets_as_they_were(tmp_path, planted, kit):
    chain = kit.Chain(tmp_path / "home", planted)
    chain.zone.land(planted, "set", options={"leaks": "block"})
    assert "no_leaks" in chain.failure(chain.run(*STAGES))
    folder = chain.home.reports / "set"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_groups_and_pairs_of_earlier_runs_stay_on_the_sheets(tmp_path, planted, kit):
    data = shutil.copytree(planted, tmp_path / "photos")
    chain = kit.Chain(tmp_path / "home", data)
    chain.run(*STAGES)
    columns = ["sample_id", "of_sample", "similarity"]
    before = chain.table("dedup_set").arrow(columns, table="border").to_pylist()
    groups = (chain.home.reports / "set/dedup-groups.png").read_bytes()
    assert before
    kit.texture(700).save(data / "train/new.png")
    assert chain.succeeded(chain.run(*STAGES))
    assert chain.table("dedup_set").meta.stats["n_new"] == 1
    after = chain.table("dedup_set").arrow(columns, table="border").to_pylist()
    kept = {r["sample_id"] for r in chain.rows("dedup_set").values() if r["kept"]}
    strangers = [pair for pair in before if {pair["sample_id"], pair["of_sample"]} <= kept]
    assert all(pair in after for pair in strangers)
    assert (chain.home.reports / "set/dedup-groups.png").read_bytes() == groups


@pytest.mark.parametrize(("word", "lines"), [("--against", 1), ("--reference-dataset", 0)])
def test_the_old_word_for_reference_datasets_is_taken_with_a_line(home, espalier, word, lines):
    said = espalier("dedup", "photos", word, "nope", home=home)
    assert said.code == 2
    assert said.err.count("--against is now called --reference-dataset.") == lines
    assert "There is no dataset 'nope'" in said.err


def test_the_level_of_near_duplicates_is_chosen_and_its_pairs_can_be_asked_for(tmp_path, planted, espalier):
    home = tmp_path / "home"
    copies = "select sample_id, of_sample from copies where subset <> of_subset"
    for level, threshold in (("standard", 0.65), ("fast", 0.66)):
        summary = espalier("dedup", planted, "--near", level, "--json", home=home).json()
        assert summary["threshold"] == pytest.approx(threshold)
        assert (summary["n_exact"], summary["n_near"]) == (2, 3)
        assert espalier("sql", copies, "--json", home=home).json() == [
            {"sample_id": "train/leaked.png", "of_sample": "test/60.png"}
        ]
        assert bool(summary["n_verified"]) == (level == "standard")
    assert espalier("sql", "select * from nothing", home=home).err.count("copies, similar_pairs, ledger") == 1
    assert espalier("dedup", planted, "--option", "near=best", home=home).code == 2
