"""Real copies in the graph: every pair is told, mirror images leak, fast is as it was, new files add their pairs."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from espalier.apps.explain.ledger import why
from espalier.io.warehouse.views import query

STAGES = ("raw_dataset", "dedup_set")


def scene(number):
    """Blocks of many sizes, 192 x 192."""
    rng = np.random.default_rng(number)
    picture = Image.new("RGB", (192, 192), tuple(rng.integers(60, 200, 3).tolist()))
    for size in np.geomspace(96, 6, 40):
        x, y, w, h = (int(v) for v in (*rng.integers(0, 192, 2), *(size * rng.uniform(0.3, 1, 2))))
        picture.paste(tuple(rng.integers(0, 256, 3).tolist()), (x, y, x + w + 1, y + h + 1))
    return picture.filter(ImageFilter.GaussianBlur(1))


@pytest.fixture
def copied(tmp_path, kit):
    """A test picture with five copies in train, a picture of train with its mirror image, and others."""
    data = tmp_path / "data"
    for subset in ("test", "train"):
        (data / subset / "x").mkdir(parents=True)
    for number in range(24):
        scene(number).save(data / "train/x" / f"{number:02}.png")
    picture = scene(100)
    picture.save(data / "test/x/0.png")
    scene(101).save(data / "test/x/1.png")
    copies = {
        "crop": picture.crop((20, 14, 190, 174)),
        "mirror": ImageOps.mirror(picture).crop((10, 0, 182, 192)),
        "small": picture.resize((64, 64)),
        "dull": picture.point(lambda v: v * 0.7),
    }
    for name, copy in copies.items():
        copy.save(data / f"train/x/copy-{name}.png")
    shutil.copyfile(data / "test/x/0.png", data / "train/x/copy-same.png")
    ImageOps.mirror(scene(3)).resize((150, 150)).save(data / "train/x/turned.png")
    return kit.Chain(tmp_path / "home", data)


def told(chain, columns, view="copies", where="subset <> of_subset"):
    with query(chain.home.store(), f"SELECT {columns} FROM {view} WHERE {where} ORDER BY ALL") as rows:
        return rows.fetchall()


def test_a_test_picture_with_five_copies_in_train_has_five_rows_and_five_leaks(copied):
    assert copied.succeeded(copied.run(*STAGES))
    names = sorted(f"train/x/copy-{name}.png" for name in ("crop", "mirror", "small", "dull", "same"))
    found = told(copied, "dataset, sample_id, subset, of_dataset, of_sample, of_subset, stage, mirrored")
    assert [row[1] for row in found] == names
    assert {row[0:1] + row[2:6] for row in found} == {("set", "train", "set", "test/x/0.png", "test")}
    assert {row[1][13:-4]: row[6:] for row in found if row[6] == "exact" or row[7]} == {
        "same": ("exact", False),
        "mirror": ("near", True),
    }
    leaks = copied.table("dedup_set").arrow(["sample_id", "of_sample", "dropped"], table="leaks").to_pylist()
    assert [leak["sample_id"] for leak in leaks] == names
    assert all(leak["dropped"] and leak["of_sample"] == "test/x/0.png" for leak in leaks)
    stats = copied.table("dedup_set").meta.stats
    assert (stats["n_leaks"], stats["n_exact"], stats["n_near"]) == (5, 1, 4)
    assert stats["n_verified"] >= stats["n_copies"] >= 5


def test_a_mirror_image_in_its_own_subset_is_told_and_stays_until_flips_are_asked(copied):
    copied.run(*STAGES)
    assert told(copied, "sample_id, of_sample, mirrored", where="sample_id = 'train/x/turned.png'") == [
        ("train/x/turned.png", "train/x/03.png", True)
    ]
    assert copied.rows("dedup_set")["train/x/turned.png"]["kept"]
    copied.zone.land(copied.data, "set", options={"flips": True})
    copied.run(*STAGES)
    row = copied.rows("dedup_set")["train/x/turned.png"]
    assert (row["kept"], row["duplicate_of"], row["mirrored"]) == (False, "train/x/03.png", True)


def test_fast_finds_by_the_grid_alone_and_tells_a_pair_a_sample(copied):
    copied.zone.land(copied.data, "set", options={"near": "fast"})
    assert copied.succeeded(copied.run(*STAGES))
    found = told(copied, "sample_id, of_sample, overlap, transform")
    assert [row[0] for row in found] == [f"train/x/copy-{name}.png" for name in ("dull", "same", "small")]
    assert {row[1:] for row in found} == {("test/x/0.png", None, None)}
    assert told(copied, "*", "similar_pairs", "true") == []
    assert copied.table("dedup_set").meta.stats["threshold"] == pytest.approx(0.66)


def test_pairs_found_before_stay_when_files_are_added_and_new_ones_join_them(copied):
    copied.run(*STAGES)
    before = told(copied, "sample_id, of_sample, similarity, transform", where="true")
    scene(100).resize((100, 80)).save(copied.data / "train/x/copy-squeezed.png")
    scene(5).crop((9, 9, 190, 190)).save(copied.data / "train/x/cropped.png")
    assert copied.succeeded(copied.run(*STAGES))
    after = told(copied, "sample_id, of_sample, similarity, transform", where="true")
    assert set(map(str, before)) <= set(map(str, after))
    new = {row[:2] for row in after} - {row[:2] for row in before}
    assert new == {("train/x/copy-squeezed.png", "test/x/0.png"), ("train/x/cropped.png", "train/x/05.png")}
    assert len(after) == len(before) + 2


def test_why_tells_how_a_copy_lies_in_the_picture_that_stays(copied):
    copied.run(*STAGES)
    said = why(copied.home, "set", "train/x/copy-crop.png")["steps"]["dedup_set"]
    assert "near duplicate of test/x/0.png, which is kept: shifted by " in said
    assert "wider and 20 % taller; alike at 0." in said
    assert "of the picture, and copies are above 0.65" in said
    said = why(copied.home, "set", "train/x/copy-mirror.png")["steps"]["dedup_set"]
    assert "mirrored; alike at 0." in said


def test_a_copy_of_another_dataset_is_told_with_its_name(copied, tmp_path):
    other = tmp_path / "other"
    (other / "x").mkdir(parents=True)
    ImageOps.mirror(scene(7)).save(other / "x/turned.png")
    scene(300).save(other / "x/new.png")
    copied.zone.land(other, "other")
    copied.run(*STAGES)
    copied.zone.set_references("other", ["set"])
    assert copied.succeeded(copied.run(*STAGES, dataset="other"))
    found = told(copied, "sample_id, of_dataset, of_sample, mirrored", where="dataset = 'other'")
    assert found == [("x/turned.png", "set", "train/x/07.png", True)]
    assert copied.home.store().need("dedup_set", "other").meta.stats["n_leaks"] == 1
