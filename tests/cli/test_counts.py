"""``kept N of M`` wherever it is told: N and M count the same samples, and what is kept whole is told beside them."""

import json
from pathlib import Path

import pytest

RECIPE = "random@0.5:seed=3:subsets=train"
WORDS = "10 of 19 of train, and all 7 of the other subsets"


@pytest.fixture(scope="module")
def home(tmp_path_factory, kit, espalier):
    """Train, val and test; a copy, a torn file, and a sample dropped by hand. A recipe that prunes train only."""
    root = tmp_path_factory.mktemp("counts")
    data, home = root / "set", root / "home"
    for subset, numbers in (("train", range(20)), ("val", range(100, 103)), ("test", range(200, 204))):
        (data / subset).mkdir(parents=True)
        for n in numbers:
            kit.texture(n).save(data / subset / f"{n}.png")
    (data / "train/copy.png").write_bytes((data / "train/0.png").read_bytes())
    (data / "train/torn.png").write_bytes(b"\x89PNG torn")
    espalier("land", data, "--option", "eps=0.0", home=home)
    assert espalier("drop", "set", "train/5.png", home=home).code == 0
    for recipe in (RECIPE, "random@0.5"):
        answer = espalier("prune", "set", "--recipe", recipe, home=home)
        assert answer.code == 0, answer.err
    return home


@pytest.fixture
def summary(home, espalier):
    return espalier("prune", "set", "--recipe", RECIPE, "--json", home=home).json()


def test_prune_tells_both_and_the_numbers_of_its_first_line_add_up(home, espalier):
    first, kept, _ = espalier("prune", "set", "--recipe", RECIPE, home=home).out.splitlines()
    assert kept == f"{RECIPE}: kept {WORDS}"
    assert first == (
        "set: 29 samples, 1 unreadable, 1 exact copies, 1 dropped by hand; 19 reach pruning, 7 are kept whole."
    )


def test_the_json_and_the_summary_hold_numbers_that_add_up(home, summary):
    stored = json.loads((Path(summary["manifest"]) / "summary.json").read_text())
    assert stored == {name: summary.get(name, stored["kept_sha256"]) for name in stored}
    assert (summary["n_kept"], summary["n_kept_of_total"], summary["n_total"], summary["n_whole"]) == (17, 10, 19, 7)
    assert (summary["pruned_subsets"], summary["whole_subsets"]) == (["train"], ["test", "val"])
    left = ("n_unreadable", "n_by_hand", "n_duplicates", "n_not_embedded", "n_filtered", "n_total", "n_whole")
    assert sum(summary[name] for name in left) == summary["n_raw"] == 29
    assert summary["n_asked"] == summary["n_kept"]


def test_a_recipe_that_prunes_every_subset_keeps_none_whole(home, espalier):
    summary = espalier("prune", "set", "--recipe", "random@0.5", "--json", home=home).json()
    assert (summary["n_kept"], summary["n_kept_of_total"], summary["n_total"], summary["n_whole"]) == (13, 13, 26, 0)
    assert summary["pruned_subsets"] == summary["whole_subsets"] == []


def test_export_tells_the_same_as_prune(home, espalier, tmp_path):
    said = espalier("export", "set", RECIPE, "-o", tmp_path / "out", home=home)
    assert said.out.splitlines()[0] == f"{RECIPE}: wrote {WORDS}"
    said = espalier("prune", "set", "--recipe", RECIPE, "-o", tmp_path / "again", home=home)
    assert f"{RECIPE}: kept {WORDS}\n" in said.out
    assert f"{RECIPE}: wrote {WORDS}\n" in said.out
    assert len([path for path in (tmp_path / "again").rglob("*") if path.is_file()]) == 17


def test_status_tells_the_same_in_words_and_in_json(home, espalier, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert WORDS in espalier("status", home=home).out
    (one,) = espalier("status", "--json", home=home).json()["datasets"]
    told = {m["recipe"]: m for m in one["manifests"]}[RECIPE]
    assert (told["n_kept"], told["n_kept_of_total"], told["n_total"], told["n_whole"]) == (17, 10, 19, 7)
    assert told["pruned_subsets"] == ["train"]


def test_diff_says_of_each_recipe_what_it_kept_of_what(home, espalier):
    said = espalier("diff", "set", RECIPE, "random@0.5", home=home).out.splitlines()
    assert said[:2] == [f"{RECIPE}: kept {WORDS}", "random@0.5: kept 13 of 26"]
    found = espalier("diff", "set", RECIPE, "random@0.5", "--json", home=home).json()
    assert found["counts_a"]["n_kept"] == found["both"] + found["only_a"] == 17
    assert found["counts_a"]["n_kept_of_total"] == 10


def test_the_page_tells_the_same(home, kit):
    from espalier.stages import pruned_manifest as stage

    chain = kit.Chain(home, home.parent / "set")
    titles, plain = [], stage.plots.kept_dropped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.plots, "kept_dropped", lambda *given: titles.append(given[2]) or plain(*given))
        result = chain.run(recipe=RECIPE)
    assert chain.succeeded(result)
    (event,) = (e for e in result.all_events if e.is_step_materialization)
    shown = event.step_materialization_data.materialization.metadata
    assert shown["kept"].value == WORDS
    assert shown["kept by cluster"].md_str.startswith(f"![{RECIPE}: kept {WORDS}](")
    assert titles == [f"{RECIPE}: kept {WORDS}"]
