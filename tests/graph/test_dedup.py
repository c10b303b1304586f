"""Duplicates in the graph: leaks, other datasets, only new files compared, human verdicts, and the ledger's words."""

import shutil

import numpy as np
import pytest
from PIL import Image

from espalier.apps.explain.ledger import diff, why
from espalier.core.errors import UsageError
from espalier.io.landing.zone import LandingZone
from espalier.io.warehouse.views import query

STAGES = ("raw_dataset", "dedup_set")


@pytest.fixture
def split(tmp_path, kit):
    """Two subsets; one picture of test stands in train too, once as it is and once smaller."""
    data = tmp_path / "data"
    for i in range(8):
        for subset, number in (("train", i), ("test", 100 + i)):
            path = data / subset / "moss" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            kit.texture(number).save(path)
    shutil.copyfile(data / "test/moss/3.png", data / "train/moss/leaked.png")
    kit.texture(104).resize((50, 50)).save(data / "train/moss/leaked-small.png")
    return kit.Chain(tmp_path / "home", data)


def stats(chain):
    return chain.table("dedup_set").meta.stats


def test_a_test_image_planted_in_train_leaves_train_and_the_check_says_so(split):
    result = split.run(*STAGES)
    assert split.succeeded(result)
    rows = split.rows("dedup_set")
    assert not rows["train/moss/leaked.png"]["kept"]
    assert rows["train/moss/leaked-small.png"]["duplicate_of"] == "test/moss/4.png"
    assert all(row["kept"] for name, row in rows.items() if name.startswith("test/"))
    leaks = split.table("dedup_set").arrow(["sample_id", "of_sample"], table="leaks").to_pylist()
    assert [leak["of_sample"] for leak in leaks] == ["test/moss/4.png", "test/moss/3.png"]
    check = next(e for e in result.get_asset_check_evaluations() if e.check_name == "no_leaks")
    assert not check.passed
    assert check.metadata["samples that stand in two subsets or datasets"].value == 2


def test_leaks_block_when_the_card_says_so(split):
    split.zone.land(split.data, "set", options={"leaks": "block"})
    assert "no_leaks" in split.failure(split.run(*STAGES))
    assert split.home.store().get("dedup_set", "set") is None


def test_only_added_files_are_compared_and_leaks_are_remembered(split, kit):
    split.run(*STAGES)
    before = stats(split)
    for i in range(3):
        kit.texture(500 + i).save(split.data / "train/moss" / f"new-{i}.png")
    shutil.copyfile(split.data / "train/moss/0.png", split.data / "train/moss/again.png")
    assert split.succeeded(split.run(*STAGES))
    after = stats(split)
    assert (before["n_new"], after["n_new"], after["n_known"]) == (18, 4, 18)
    assert after["comparisons"] < before["comparisons"] / 2
    assert after["n_leaks"] == before["n_leaks"] == 2
    assert split.rows("dedup_set")["train/moss/again.png"]["duplicate_of"] == "train/moss/0.png"


def test_ten_files_added_to_five_thousand_are_all_that_is_compared(tmp_path, kit):
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()

    def add(names, pixels):
        for name, one in zip(names, pixels, strict=True):
            Image.fromarray(one).save(data / f"{name}.bmp")

    first = rng.integers(0, 256, (5000, 12, 12, 3), np.uint8)
    add([f"{n:04}" for n in range(5000)], first)
    chain = kit.Chain(tmp_path / "home", data)
    assert chain.succeeded(chain.run(*STAGES))
    assert stats(chain)["n_kept"] == 5000
    new = rng.integers(0, 256, (10, 12, 12, 3), np.uint8)
    new[:3] = first[:3]
    new[0, 0, 0] ^= 3  # one a near copy, two exact ones
    add([f"new-{n}" for n in range(10)], new)
    assert chain.succeeded(chain.run(*STAGES))
    found = stats(chain)
    assert (found["n_new"], found["n_known"], found["n_near"], found["n_exact"]) == (10, 5000, 1, 2)
    assert found["comparisons"] == 8 * 5008  # two are equal bytes; 12,497,500 pairs the first time


def test_a_new_file_never_drops_one_that_was_kept(split, kit):
    split.run(*STAGES)
    kit.texture(1).resize((256, 256)).save(split.data / "train/moss/0-larger.png")
    split.run(*STAGES)
    rows = split.rows("dedup_set")
    assert rows["train/moss/1.png"]["kept"]
    assert rows["train/moss/0-larger.png"]["duplicate_of"] == "train/moss/1.png"


def test_a_copy_comes_back_when_the_sample_that_it_copied_has_gone(split):
    split.run(*STAGES)
    (split.data / "test/moss/3.png").unlink()
    split.run(*STAGES)
    assert split.rows("dedup_set")["train/moss/leaked.png"]["kept"]


def test_copies_of_what_another_dataset_keeps_are_dropped_and_named(split, tmp_path, kit):
    other = tmp_path / "other"
    for number in (1, 2, 700):
        (other / "x").mkdir(parents=True, exist_ok=True)
        kit.texture(number).save(other / "x" / f"{number}.png")
    split.zone.land(other, "other")
    split.run(*STAGES)
    split.zone.set_references("other", ["set"])
    assert split.succeeded(split.run(*STAGES, dataset="other"))
    table = split.home.store().need("dedup_set", "other")
    found = {r["sample_id"]: r for r in table.arrow(["*"]).to_pylist()}
    assert [name for name, row in found.items() if row["kept"]] == ["x/700.png"]
    assert (found["x/1.png"]["of_dataset"], found["x/1.png"]["duplicate_of"]) == ("set", "train/moss/1.png")
    assert split.rows("dedup_set")["train/moss/1.png"]["kept"]


def test_human_verdicts_are_honoured_by_every_stage(split):
    split.run()
    split.zone.record_verdicts("set", keep=["train/moss/leaked.png"], drop=["train/moss/5.png"])
    assert split.succeeded(split.run())
    split.run(recipe="random@0.3")
    rows = split.rows("pruned_manifest", "random@0.3")
    assert rows["train/moss/leaked.png"]["kept"]
    assert rows["train/moss/5.png"]["reason"] == "dropped by hand"


def test_why_answers_in_words_for_every_fate(tmp_path, kit):
    data = kit.write_textures(tmp_path / "data")
    chain = kit.Chain(tmp_path / "home", data).grow("density@0.5")
    home = chain.home

    def words(sample):
        fate = why(home, "set", sample)
        return " ".join([*fate["steps"].values(), *(verdict["reason"] for verdict in fate["recipes"].values())])

    assert "unreadable" in words("moss/torn.jpg")
    assert "the same picture as bark/00-again.png" in words("bark/00.png")
    assert "near duplicate of" in words("leaf/05-small.jpg")
    kept = chain.rows("pruned_manifest", "density@0.5")
    some_kept = next(name for name, row in kept.items() if row["kept"])
    some_pruned = next(name for name, row in kept.items() if row["fate"] == "pruned")
    assert "hardest of the" in words(some_kept)
    assert "hardest in cluster" in words(some_pruned)
    with pytest.raises(UsageError, match=r"Did you mean 'moss/torn\.jpg'"):
        why(home, "set", "torn.jpg")


def test_diff_and_the_ledger_agree_with_the_manifests(tmp_path, kit):
    chain = kit.Chain(tmp_path / "home", kit.write_textures(tmp_path / "data")).grow("density@0.5", "random@0.5")
    found = diff(chain.home, "set", "density@0.5", "random@0.5")
    keeps = {
        r: {name for name, row in chain.rows("pruned_manifest", r).items() if row["kept"]}
        for r in ("density@0.5", "random@0.5")
    }
    assert found["both"] == len(keeps["density@0.5"] & keeps["random@0.5"])
    assert set(found["samples"]["only_a"]) == keeps["density@0.5"] - keeps["random@0.5"]
    assert sum(c["only_b"] for c in found["clusters"]) == found["only_b"]
    with query(chain.home.store(), "select count(*) n from ledger where kept and recipe = 'random@0.5'") as rows:
        assert rows.fetchall()[0][0] == len(keeps["random@0.5"])
    sql = "select cluster, cluster_keeps, kept from ledger where recipe = 'density@0.5' and cluster is not null"
    with query(chain.home.store(), sql) as rows:
        found = rows.fetchall()
    for cluster in {row[0] for row in found}:
        members = [row for row in found if row[0] == cluster]
        assert {row[1] for row in members} == {sum(row[2] for row in members)}
    sql = "select exact_by, copy_of from ledger where sample_id = 'bark/00.png' and recipe = 'density@0.5'"
    with query(chain.home.store(), sql) as rows:
        assert rows.fetchall() == [("bytes", "bark/00-again.png")]


def test_the_landing_zone_keeps_reference_datasets_in_the_card(split):
    split.zone.set_references("set", ["b", "a"])
    assert LandingZone(split.home.landing).card("set").reference_datasets == ("a", "b")
