"""``min_clip_score``: pictures whose caption does not fit them go before the target is counted."""

import json

import numpy as np
import pytest
from PIL import Image

COLOURS = ("red", "green", "blue")
EACH = 6
WRONG = {"red/04.png": "a photo of blue", "blue/00.png": "a photo of green"}
SILENT = "green/02.png"


@pytest.fixture(scope="module")
def captioned(tmp_path_factory, kit):
    """Pictures of three colours, captioned with their colour; two captions are wrong, one picture has none."""
    root = tmp_path_factory.mktemp("captioned")
    lines = []
    for c, name in enumerate(COLOURS):
        (root / name).mkdir()
        for i in range(EACH):
            colour = np.roll((250, 20 + 15 * i, 95 - 15 * i), c)
            path = f"{name}/{i:02}.png"
            grey = np.asarray(kit.texture(100 * c + i).convert("L"), np.float32)[..., None] / 255
            Image.fromarray((grey * colour).astype(np.uint8)).save(root / path)
            caption = None if path == SILENT else WRONG.get(path, f"a photo of {name}")
            lines.append(json.dumps({"path": path, "caption": caption, "split": "train" if i < 4 else "extra"}))
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory, captioned, two_towers, espalier):
    """A home where the pictures were pruned with the score and without."""
    home = tmp_path_factory.mktemp("home")
    ask = ("prune", captioned, "--name", "set", "--option", f"encoder={two_towers}", "--option", "eps=0.0")
    for recipe in ("random@0.5", "random@0.5:min_clip_score=0.5", "density@0.5:min_clip_score=0.5"):
        answer = espalier(*ask, "--recipe", recipe, home=home)
        assert answer.code == 0, answer.err
    return home


@pytest.fixture(scope="module")
def sql(home, espalier):
    def ask(query):
        return espalier("sql", query, "--json", home=home).json()

    return ask


def test_pictures_whose_caption_does_not_fit_go_before_the_target_is_counted(home, espalier):
    summary = espalier("prune", "set", "--recipe", "random@0.5:min_clip_score=0.5", "--json", home=home).json()
    assert summary["ran"] == []
    assert (summary["n_filtered"], summary["n_total"], summary["n_kept"]) == (3, 15, 8)
    said = espalier("prune", "set", "--recipe", "random@0.5:min_clip_score=0.5", home=home).out
    assert "3 below min_clip_score; 15 reach pruning" in said
    assert "kept 8 of 15 (3 more are below min_clip_score)" in said
    assert summary["n_raw"] == summary["n_filtered"] + summary["n_total"]
    assert espalier("prune", "set", "--recipe", "random@0.5", "--json", home=home).json()["n_total"] == 18


def test_what_is_filtered_and_what_is_kept_whole_add_up(home, espalier):
    recipe = "random@0.5:min_clip_score=0.5:subsets=train"
    summary = espalier("prune", "set", "--recipe", recipe, "--json", home=home).json()
    names = ("n_kept", "n_kept_of_total", "n_total", "n_whole", "n_filtered", "n_raw")
    assert tuple(summary[name] for name in names) == (11, 5, 10, 6, 2, 18)  # a wrong caption is not in train
    said = espalier("prune", "set", "--recipe", recipe, home=home).out
    words = "5 of 10 of train, and all 6 of the other subsets (2 more are below min_clip_score)"
    assert f"{recipe}: kept {words}\n" in said


@pytest.mark.parametrize("method", ["random", "density"])
def test_each_says_so_in_its_reason_and_fate(sql, method):
    rows = {
        row["sample_id"]: row
        for row in sql(f"SELECT * FROM pruned_manifest WHERE recipe = '{method}@0.5:min_clip_score=0.5'")
    }
    low = {sample for sample, row in rows.items() if row["fate"] == "low CLIP score"}
    assert low == {*WRONG, SILENT}
    assert not any(rows[sample]["kept"] for sample in low)
    for sample in WRONG:
        assert rows[sample]["reason"].startswith("dropped: CLIP score ")
        assert rows[sample]["reason"].endswith(", below 0.5 (min_clip_score)")
    assert rows[SILENT]["reason"].startswith("dropped: it has no text to score its picture by")


def test_the_score_is_a_column_of_the_ledger_and_stands_in_why(home, sql, espalier):
    scores = {
        row["sample_id"]: row["clip_score"]
        for row in sql("SELECT DISTINCT sample_id, clip_score FROM ledger ORDER BY sample_id")
    }
    assert {sample for sample, score in scores.items() if score is None} == {SILENT}
    assert {sample for sample, score in scores.items() if score is not None and score < 0.5} == set(WRONG)
    said = espalier("why", "set", "red/04.png", home=home).out
    assert f"CLIP score {scores['red/04.png']:.3f}" in said
    assert f"dropped: CLIP score {scores['red/04.png']:.3f}, below 0.5 (min_clip_score)" in said
    found = sql("SELECT count(*) AS n FROM ledger WHERE recipe = 'random@0.5' AND clip_score > 0.5")
    assert found == [{"n": 15}]


def test_the_ledger_has_the_column_where_no_encoder_gives_scores(grown, espalier):
    asked = "SELECT count(*) AS n, count(clip_score) AS scored FROM ledger WHERE recipe = 'density@0.3'"
    (row,) = espalier("sql", asked, "--json", home=grown[0].home.root).json()
    assert row["n"] == grown[0].n_raw
    assert row["scored"] == 0


def test_without_scores_it_is_refused_in_one_line_before_anything_runs(tmp_path, captioned, espalier, grown):
    answer = espalier("prune", captioned, "--recipe", "density@0.5:min_clip_score=0.2", home=tmp_path)
    assert answer.code == 1
    assert "The encoder builtin cannot compare pictures with texts" in answer.err
    assert "two-tower encoder" in answer.err
    assert not list((tmp_path / "warehouse").rglob("*.duckdb"))
    chain = grown[0]
    failed = chain.run(recipe="density@0.3:min_clip_score=0.2")
    assert "min_clip_score needs CLIP scores, which this dataset lacks" in chain.failure(failed)


def test_random_beside_a_filtered_recipe_has_its_size(home, espalier):
    ask = ("compare", "set", "--recipe", "kcenter@0.5:min_clip_score=0.5", "--json")
    (recipe,) = (r for r in espalier(*ask, home=home).json()["recipes"] if r["recipe"].startswith("kcenter"))
    assert recipe["n_kept"] == 8
