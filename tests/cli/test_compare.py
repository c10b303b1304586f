"""``espalier compare`` and ``subset_quality`` on a tiny dataset, as a user runs them."""

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from espalier.cli.compare import compare
from espalier.cli.launch import Launcher
from espalier.cli.main import group
from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import Features
from espalier.core.prune.select import select
from espalier.core.recipe import Recipe
from espalier.io.home import Home

CLASSES, EACH, TESTS, COPIES = ("bark", "leaf", "moss"), 14, 5, 3
N_TRAIN = len(CLASSES) * EACH


def picture(number: int, kind: int) -> Image.Image:
    """Waves whose direction is the class's and whose rest is the picture's own."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:48, 0:48] / 48
    angle = kind * np.pi / 3 + rng.normal(0, 0.2)
    waves = sum(
        np.sin(2 * np.pi * (rng.uniform(2, 6) * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform()))
        + np.sin(2 * np.pi * (rng.uniform(-4, 4) * x + rng.uniform(-4, 4) * y + rng.uniform()))
        for _ in range(2)
    )
    grey = (waves - waves.min()) / np.ptp(waves)
    return Image.fromarray((grey[..., None] * rng.uniform(80, 255, 3)).astype(np.uint8))


def write(root: Path, subsets: dict[str, int], copies: int = 0) -> Path:
    for s, (subset, count) in enumerate(subsets.items()):
        for kind, name in enumerate(CLASSES):
            folder = root / subset / name
            folder.mkdir(parents=True)
            for i in range(count):
                picture(1000 * s + 100 * kind + i, kind).save(folder / f"{i:02}.png")
            for i in range(copies if subset != "test" else 0):
                (folder / f"{i:02}-again.png").write_bytes((folder / f"{i:02}.png").read_bytes())
    return root


def launcher(root: Path) -> Launcher:
    return Launcher(Home.find(root), bars=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "set", {"train": EACH, "test": TESTS}, COPIES)


@pytest.fixture(scope="module")
def grown(folder, tmp_path_factory):
    """A launcher with the dataset compared once, and what that gave."""
    asked = {
        "compare_methods": ["density", "stratified", "balanced"],
        "compare_ratios": ["0.3", "0.6"],
        "raw_random": True,
    }
    with launcher(tmp_path_factory.mktemp("home")) as found:
        yield found, compare(found, str(folder), asked), asked


def test_all_recipes_are_compared_in_one_run_after_the_chain(grown):
    _, summary, _ = grown
    assert summary["ran"][-1] == "comparison"
    assert len(summary["runs"]) == 2
    assert [r["recipe"] for r in summary["recipes"]].count("random@0.3") == 1
    assert len(summary["recipes"]) == 2 * 5


def test_no_recipe_partition_is_registered(grown):
    found, _, _ = grown
    assert found.instance.get_dynamic_partitions("recipe") == []


def test_the_same_question_is_answered_from_what_is_stored(grown, folder):
    found, summary, asked = grown
    again = compare(found, "set", asked)
    assert again["ran"] == []
    assert again["recipes"] == summary["recipes"]


def test_every_recipe_of_an_amount_keeps_the_same_number_of_training_samples(grown):
    _, summary, _ = grown
    assert summary["n_train"] == N_TRAIN
    assert {r["n_kept"] for r in summary["recipes"] if r["recipe"].endswith("@0.3")} == {13}
    assert {r["n_kept"] for r in summary["recipes"] if r["recipe"].endswith("@0.6")} == {26}


def test_the_whole_test_subset_is_tested_on(grown):
    _, summary, _ = grown
    assert (summary["tested_on"], summary["n_test"]) == ("test", len(CLASSES) * TESTS)


def test_methods_of_chance_have_a_deviation_and_others_one_value(grown):
    _, summary, _ = grown
    by_name = {r["recipe"]: r for r in summary["recipes"]}
    assert by_name["random@0.3"]["seeds"] == [0, 1, 2]
    assert by_name["stratified@0.3"]["probe_accuracy"]["std"] is not None
    assert by_name["density@0.3"]["seeds"] == []
    assert by_name["density@0.3"]["probe_accuracy"]["std"] is None


def test_every_recipe_but_random_has_a_verdict(grown):
    _, summary, _ = grown
    for recipe in summary["recipes"]:
        verdict = recipe.get("beside_random")
        assert (verdict is None) == (recipe["method"] in ("random", "raw_random"))
        if verdict:
            assert verdict["beats"] == (verdict["difference"] > verdict["margin"])


def test_random_over_all_files_is_drawn_from_the_copies_too(grown):
    _, summary, _ = grown
    assert summary["n_files"] == N_TRAIN + len(CLASSES) * COPIES
    raw = next(r for r in summary["recipes"] if r["recipe"] == "raw_random@0.3")
    assert (raw["n_kept"], len(raw["seeds"])) == (13, 3)


def test_the_report_is_written_with_the_table(grown):
    _, summary, _ = grown
    assert Path(summary["plot"]).read_bytes().startswith(b"\x89PNG")
    record = json.loads(Path(summary["record"]).read_text())
    assert record["recipes"] == summary["recipes"]


def test_a_lost_report_is_written_again(grown):
    found, summary, asked = grown
    Path(summary["plot"]).unlink()
    assert compare(found, "set", asked)["ran"] == ["comparison"]
    assert Path(summary["plot"]).exists()


def test_the_page_shows_the_table_and_the_plot(grown):
    found, _, _ = grown
    event = found.instance.get_latest_materialization_event(dg.AssetKey("comparison"))
    shown = event.asset_materialization.metadata
    assert "| density@0.3 |" in shown["comparison"].value
    assert shown["plot"].value.startswith("![")


def test_what_a_recipe_keeps_here_is_what_its_manifest_keeps_with_subsets_train(grown):
    found, summary, _ = grown
    recipe = "density@0.3:subsets=train"
    found.run("manifests", "set", ["pruned_manifest"], recipe=recipe)
    found.run("qualities", "set", ["subset_quality"], recipe=recipe)
    rows = found.home.store().need("subset_quality", "set", recipe).arrow(["*"]).to_pylist()
    here = next(r for r in summary["recipes"] if r["recipe"] == "density@0.3")
    assert rows[0]["radius_mean"] == here["radius_mean"]["mean"]
    assert rows[0]["probe_accuracy"] == here["probe_accuracy"]["mean"]
    beside = next(r for r in summary["recipes"] if r["recipe"] == "random@0.3")
    assert [r["radius_mean"] for r in rows[1:]] == beside["radius_mean"]["values"]


def test_the_quality_of_a_recipe_over_all_subsets_counts_its_training_samples(grown):
    found, _, _ = grown
    recipe = "stratified@0.5"
    found.run("manifests", "set", ["pruned_manifest"], recipe=recipe)
    found.run(
        "qualities",
        "set",
        ["subset_quality"],
        recipe=recipe,
        config={"subset_quality": {"config": {"quality_seeds": 2}}},
    )
    store = found.home.store()
    ids = store.need("pruned_manifest", "set", recipe).arrow(["sample_id"], where="kept")["sample_id"].to_pylist()
    table = store.need("subset_quality", "set", recipe)
    kept = sum(i.startswith("train/") for i in ids)
    assert len(ids) == 29
    assert [r["n_kept"] for r in table.arrow(["*"]).to_pylist()] == [kept] * 3
    assert table.meta.stats["share_of_training_kept"] == kept / N_TRAIN
    assert table.meta.stats["verdict"].startswith("stratified@0.5 ")


def test_a_recipe_that_keeps_no_training_sample_has_nothing_to_measure(grown):
    found, _, _ = grown
    n, n_test = N_TRAIN + len(CLASSES) * TESTS, len(CLASSES) * TESTS
    tries = (Recipe.parse(f"random@n1:seed={seed}") for seed in range(1, 99))
    recipe = next(str(r) for r in tries if select(r, Features(n)).kept[:n_test].any())  # test/... comes first
    found.run("manifests", "set", ["pruned_manifest"], recipe=recipe)
    found.run("qualities", "set", ["subset_quality"], recipe=recipe)
    table = found.home.store().need("subset_quality", "set", recipe)
    assert len(table) == 0
    assert "keeps no training sample" in table.meta.stats["verdict"]


def test_an_unknown_method_or_ratio_is_refused_before_anything_lands(folder, tmp_path):
    with launcher(tmp_path) as found:
        for asked in ({"compare_methods": ["dense"]}, {"compare_ratios": ["80"]}, {"compare_recipes": ["density"]}):
            with pytest.raises(UsageError):
                compare(found, str(folder), asked)
        assert list((tmp_path / "landing").iterdir()) == []


def test_without_labels_methods_that_need_them_are_left_out_and_coverage_decides(folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(folder.rglob("train/*/*.png"))[:30]):
        (flat / f"{number:02}.png").write_bytes(path.read_bytes())
    runner = CliRunner()
    arguments = [str(flat), "-m", "balanced,stratified,kcenter", "-r", "0.4", "-o", str(tmp_path / "out")]
    result = runner.invoke(group, ["--home", str(tmp_path / "home"), "compare", *arguments], catch_exceptions=False)
    assert "left out: balanced@0.4 needs labels, which this dataset lacks" in result.stdout
    assert "kcenter@0.4" in result.stdout
    assert (tmp_path / "out" / "compare.png").exists()
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert record["tested_on"] == "none"
    kcenter = next(r for r in record["recipes"] if r["recipe"] == "kcenter@0.4")
    assert kcenter["beside_random"]["metric"] == "radius_mean"
    assert "probe_accuracy" not in kcenter
    with launcher(tmp_path / "home") as found, pytest.raises(EspalierError, match=r"balanced@0\.5 needs labels"):
        compare(found, "flat", {"compare_recipes": ["balanced@0.5"]})


def test_a_held_out_tenth_and_its_copies_train_nobody(tmp_path):
    root = write(tmp_path / "flat", {"": EACH}, copies=EACH)
    with launcher(tmp_path / "home") as found:
        asked = {"compare_methods": ["stratified"], "compare_ratios": ["0.5"], "raw_random": True, "quality_seeds": 2}
        summary = compare(found, str(root), asked)
    assert summary["tested_on"] == "held-out tenth"
    assert summary["n_test"] == 4
    assert summary["n_train"] == N_TRAIN - 4
    assert summary["n_files"] == 2 * (N_TRAIN - 4)


def test_the_command_prints_json_with_the_recipe_given(grown):
    found, _, _ = grown
    arguments = [
        "--home",
        str(found.home.root),
        "compare",
        "set",
        "--recipe",
        "density@0.3:keep=easy",
        "--seeds",
        "2",
        "--json",
    ]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    out = json.loads(result.stdout)
    assert [r["recipe"] for r in sorted(out["recipes"], key=lambda r: r["recipe"])] == [
        "density@0.3:keep=easy",
        "random@0.3",
    ]
    assert out["seeds"] == 2
    assert out["ran"] == ["comparison"]


def test_quality_follows_a_manifest_by_itself_and_a_comparison_waits_to_be_asked(grown):
    graph = grown[0].defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey("subset_quality")).automation_condition is not None
    assert graph.get(dg.AssetKey("comparison")).automation_condition is None
