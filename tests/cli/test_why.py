"""``espalier why`` for a sample of every fate, as a newcomer would read it."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from espalier.apps.explain import explanations
from espalier.apps.explain.ledger import why
from espalier.core.errors import UsageError

EARLY, LATE = ("raw_dataset", "dedup_set"), ("embeddings", "semantic_dedup_set", "clusters", "cluster_complexity")
RECIPE = "density@0.5"


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def blended(kit, one, other):
    """Half of one picture and half of another: a near duplicate of both, which are none of each other."""
    pixels = [np.asarray(kit.texture(number), float) for number in (one, other)]
    return Image.fromarray(np.uint8((pixels[0] + pixels[1]) / 2))


@pytest.fixture(scope="module")
def grown(tmp_path_factory, kit):
    """A dataset in which every fate occurs."""
    root = tmp_path_factory.mktemp("why")
    data = root / "data"
    for number in range(24):
        save(kit.texture(number), data / f"train/{number:02}.png")
    for number in (90, 91, 92):
        save(kit.texture(number), data / f"test/{number}.png")
    (data / "train/torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (data / "train/00-file.png").write_bytes((data / "train/00.png").read_bytes())
    save(kit.texture(1), data / "train/01-again.png", compress_level=1)
    save(kit.texture(2).resize((48, 48)), data / "train/02-small.png")
    save(ImageOps.mirror(kit.texture(3)).resize((48, 48)), data / "train/03-mirror.png")
    save(kit.texture(90).resize((80, 80)), data / "train/leaked.png")
    save(kit.texture(91).resize((60, 60)), data / "test/91-small.png")
    save(kit.texture(4).resize((52, 52)), data / "train/04-wanted.png")
    save(kit.texture(2001).resize((90, 90)), data / "train/chain-a.png")
    save(blended(kit, 2001, 3001).resize((80, 80)), data / "train/chain-b.png")
    save(kit.texture(3001).resize((70, 70)), data / "train/chain-c.png")
    save(kit.texture(5).resize((40, 40)), data / "train/05-b.png")
    (data / "train/05-c.png").write_bytes((data / "train/05-b.png").read_bytes())
    save(kit.texture(800), data / "train/gone.png")
    chain = kit.Chain(root / "home", data)
    chain.zone.land(data, "set", options={"near": "fast", "near_threshold": 0.58, "flips": True, "eps": 0.35})
    chain.zone.record_verdicts("set", keep=["train/04-wanted.png"], drop=["train/07.png"])
    assert chain.succeeded(chain.run(*EARLY))
    (data / "train/gone.png").rename(root / "gone.png")
    assert chain.succeeded(chain.run(*LATE))
    assert chain.succeeded(chain.run(recipe=RECIPE))
    chain.zone.record_verdicts("set", drop=["train/08.png"])
    return chain


def told(chain, sample):
    """What the stages say, by stage, with the recipe's reason."""
    fate = why(chain.home, "set", sample)
    return fate["steps"] | {recipe: verdict["reason"] for recipe, verdict in fate["recipes"].items()}


def test_an_unreadable_file(grown):
    said = told(grown, "train/torn.jpg")
    assert said["raw_dataset"].startswith("unreadable: ")
    assert said["raw_dataset"].endswith("It is left out of everything below.")
    assert set(said) == {"raw_dataset", RECIPE}
    assert said[RECIPE].startswith("unreadable: ")


def test_the_same_file_twice(grown):
    assert told(grown, "train/00-file.png")["dedup_set"] == (
        "kept; 1 copy was dropped in its favour: train/00.png"  # equal in all, so the first id stays
    )
    assert told(grown, "train/00.png")["dedup_set"] == "dropped: the same file as train/00-file.png, which is kept"


def test_the_same_pixels_in_another_file(grown):
    rows = grown.rows("dedup_set")
    (gone, kept) = sorted(("train/01.png", "train/01-again.png"), key=lambda name: rows[name]["kept"])
    assert told(grown, gone)["dedup_set"] == f"dropped: pixel for pixel the same picture as {kept}, which is kept"


def test_a_file_twice_whose_picture_is_a_near_duplicate_of_a_third(grown):
    said = told(grown, "train/05-c.png")["dedup_set"]
    assert said.startswith(
        "dropped: the same file as train/05-b.png, which is a near duplicate of train/05.png (similarity "
    )


def test_a_near_duplicate_and_a_mirrored_one(grown):
    said = told(grown, "train/02-small.png")["dedup_set"]
    assert said.startswith("dropped: near duplicate of train/02.png, which is kept: similarity ")
    assert said.endswith("and copies are above 0.58")
    assert "near duplicate of train/03.png, mirrored, which is kept" in told(grown, "train/03-mirror.png")["dedup_set"]


def test_a_chain_is_told_link_by_link(grown):
    assert "near duplicate of train/chain-a.png" in told(grown, "train/chain-b.png")["dedup_set"]
    assert told(grown, "train/chain-c.png")["dedup_set"] == (
        "kept; chained: linked with train/chain-b.png, a copy of train/chain-a.png, but not similar enough to "
        "train/chain-a.png to be its copy"
    )
    row = grown.rows("dedup_set")["train/chain-c.png"]
    assert (row["kept"], row["chained"], row["via"]) == (True, True, "train/chain-b.png")


def test_a_leak_and_the_protected_sample_that_it_copies(grown):
    said = told(grown, "train/leaked.png")["dedup_set"]
    assert "near duplicate of test/90.png" in said
    assert said.endswith("; it stood in subset train, the other in test: test is protected and loses nothing")
    assert told(grown, "test/90.png")["dedup_set"] == "kept; 1 copy was dropped in its favour: train/leaked.png"
    assert told(grown, "test/91-small.png")["dedup_set"] == (
        "kept, though it is a copy of test/91.png: subset test is protected"
    )


def test_verdicts_by_hand_done_and_still_to_come(grown):
    assert told(grown, "train/04-wanted.png")["dedup_set"].startswith(
        "kept by hand (espalier keep); 1 copy was dropped in its favour: train/04.png"
    )
    assert told(grown, "train/07.png")["dedup_set"].startswith("dropped by hand (espalier drop DATASET SAMPLE --clear")
    assert told(grown, "train/07.png")[RECIPE] == "dropped by hand"
    assert told(grown, "train/08.png")["by hand"] == "marked: drop; the next run honours it (espalier dedup set)"
    assert "by hand" not in told(grown, "train/07.png")


def test_what_could_not_be_embedded(grown):
    said = told(grown, "train/gone.png")
    assert said["dedup_set"] == "kept"
    assert said["embeddings"].startswith("could not be embedded: cannot be read: there is no such file")
    assert said["embeddings"].endswith("It is left out of everything below.")
    assert said[RECIPE].startswith("could not be embedded: ")


def test_a_semantic_duplicate_and_the_sample_that_it_stands_for(grown):
    rows = grown.rows("semantic_dedup_set")
    gone, row = next((name, row) for name, row in rows.items() if not row["kept"])
    said = told(grown, gone)
    assert said["semantic_dedup_set"] == (
        f"dropped: semantic duplicate of {row['duplicate_of']}: the cosine of their embeddings, "
        f"{row['similarity']:.3f}, is above the limit 0.65; both lie in fine cluster 0"
    )
    assert "clusters" not in said
    assert f"dropped in its favour: {gone}" in told(grown, row["duplicate_of"])["semantic_dedup_set"]


def test_a_sample_that_reaches_pruning_and_is_kept_or_not(grown):
    for kept in (True, False):
        rows = grown.rows("pruned_manifest", RECIPE)
        name = next(n for n, r in rows.items() if r["fate"] == ("kept" if kept else "pruned"))
        said = told(grown, name)
        assert said["embeddings"].startswith("by builtin")
        assert said["clusters"].startswith(f"in cluster {rows[name]['cluster']}, at distance ")
        assert said[RECIPE].startswith("kept: " if kept else "dropped: ")


def test_no_sample_of_any_fate_is_left_without_words(grown):
    """Every fate occurs, and the last word that a stage says is the manifest's fate."""
    rows = grown.rows("pruned_manifest", RECIPE)
    fates = {row["fate"] for row in rows.values()}
    assert fates == {
        "unreadable",
        "exact duplicate",
        "near duplicate",
        "dropped by hand",
        "not embedded",
        "semantic duplicate",
        "kept",
        "pruned",
    }
    for name, row in rows.items():
        said = told(grown, name)
        dropped = [stage for stage, words in said.items() if words.startswith("dropped") and stage != RECIPE]
        assert len(dropped) == (
            row["fate"] in {"exact duplicate", "near duplicate", "dropped by hand"} or "sem" in row["fate"]
        )


def test_rows_that_older_code_stored_are_explained_without_what_they_lack(grown):
    table = grown.table("dedup_set")
    raw = explanations.row_of(grown.table("raw_dataset"), "train/00.png")
    row = explanations.row_of(table, "train/00.png")
    del row["exact_by"]
    said = explanations.dedup(explanations.Case(table, row, raw, grown.table("raw_dataset")))
    assert said == "dropped: the same picture as train/00-file.png, which is kept"


def test_an_id_that_is_not_there_is_answered_with_the_nearest(grown):
    with pytest.raises(UsageError, match=r"Did you mean 'train/torn\.jpg'"):
        why(grown.home, "set", "torn.jpg")


def test_the_command_prints_a_line_a_stage(grown, espalier):
    said = espalier("why", "set", "train/02-small.png", home=grown.home.root)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "train/02-small.png of set"
    assert [line.split()[0] for line in lines[1:]] == ["raw_dataset", "dedup_set", RECIPE]
    found = espalier("why", "set", "train/02-small.png", "--json", home=grown.home.root).json()
    assert found["dedup_set"]["duplicate_of"] == "train/02.png"
