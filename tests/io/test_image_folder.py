"""Image folders: what is a sample, which folder is a subset, which a class, and which links are refused."""

import os

import fsspec
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.io.formats.read.base import subset_role
from espalier.io.formats.read.detect import open_reader
from espalier.io.landing.cards import Card


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def read(root, size=3, **options):
    reader = open_reader(Card("set", str(root), "image_folder", options))
    samples = [sample for batch in reader.batches(size) for sample in batch]
    return reader, {sample.sample_id: sample for sample in samples}


def test_class_folders_give_labels_and_exact_ids(tmp_path):
    make(tmp_path, "cat/1.jpg", "cat/Ünï 名 (1).JPG", "dog/a.b.c.png", "dog/deep/er/x.webp")
    reader, samples = read(tmp_path)
    assert {key: sample.labels for key, sample in samples.items()} == {
        "cat/1.jpg": ("cat",),
        "cat/Ünï 名 (1).JPG": ("cat",),
        "dog/a.b.c.png": ("dog",),
        "dog/deep/er/x.webp": ("dog",),
    }
    assert {sample.subset for sample in samples.values()} == {""}
    assert samples["cat/1.jpg"].uri == str(tmp_path / "cat/1.jpg")
    assert reader.categories() == ["cat", "dog"]


def test_subset_folders_give_subsets_as_they_are_spelled(tmp_path):
    make(tmp_path, "Train/cat/1.jpg", "validation/cat/1.jpg", "test/2.jpg")
    reader, samples = read(tmp_path)
    assert {(s.subset, s.labels) for s in samples.values()} == {
        ("Train", ("cat",)),
        ("validation", ("cat",)),
        ("test", ()),
    }
    assert reader.categories() == ["cat"]
    assert [subset_role(s) for s in ("Train", "validation", "test", "Extra")] == [
        "train",
        "val",
        "test",
        "extra",
    ]


def test_a_flat_folder_has_no_labels(tmp_path):
    make(tmp_path, "1.jpg", "2.jpg")
    reader, samples = read(tmp_path)
    assert list(samples) == ["1.jpg", "2.jpg"]
    assert (samples["1.jpg"].labels, samples["1.jpg"].subset, reader.categories()) == ((), "", [])


def test_a_class_called_train_beside_other_classes_stays_a_class(tmp_path):
    make(tmp_path, "train/1.jpg", "car/1.jpg")
    assert read(tmp_path)[0].categories() == ["car", "train"]
    assert read(tmp_path, subsets=["train"])[0].categories() == ["car"]


def test_subsets_beside_another_folder_stay_subsets_when_they_hold_classes(tmp_path):
    make(tmp_path, "train/cat/1.jpg", "test/dog/1.jpg", "unlabeled/1.jpg", "notes/read.txt")
    _, samples = read(tmp_path)
    assert samples["train/cat/1.jpg"].subset == "train"
    assert samples["unlabeled/1.jpg"].labels == ("unlabeled",)


def test_a_lone_folder_called_images_is_no_class(tmp_path):
    make(tmp_path, "images/1.jpg", "images/2.jpg", "truth.json")
    assert read(tmp_path)[0].categories() == []
    make(tmp_path, "cat/1.jpg")
    assert read(tmp_path)[0].categories() == ["cat", "images"]


def test_other_files_are_counted_and_hidden_ones_are_not_seen(tmp_path):
    make(
        tmp_path,
        "cat/1.jpg",
        "cat/notes.txt",
        "cat/noext",
        "cat/.hidden.jpg",
        ".git/x.jpg",
        "_SUCCESS",
        "cat/v.svg",
    )
    reader, samples = read(tmp_path)
    assert list(samples) == ["cat/1.jpg"]
    assert dict(reader.ignored) == {".txt": 1, "": 1, ".svg": 1}


def test_links_out_of_the_folder_are_refused_and_links_inside_are_read(tmp_path):
    root, outside = tmp_path / "set", tmp_path / "outside"
    make(root, "cat/1.jpg")
    make(outside, "secret.jpg")
    (root / "cat/out.jpg").symlink_to(outside / "secret.jpg")
    (root / "cat/in.jpg").symlink_to("1.jpg")
    (root / "cat/gone.jpg").symlink_to("nothing.jpg")
    (root / "dir").symlink_to(outside)
    (root / "loop").symlink_to(root)
    _, samples = read(root)
    assert {key: sample.error for key, sample in samples.items()} == {
        "cat/1.jpg": None,
        "cat/in.jpg": None,
        "cat/out.jpg": "the link leaves the folder of the dataset",
        "cat/gone.jpg": "the link leads to nothing",
        "dir": "the link leaves the folder of the dataset",
        "loop": "a link to a folder is not followed",
    }


def test_a_dataset_that_is_itself_a_link_is_read(tmp_path):
    make(tmp_path / "real", "cat/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    _, samples = read(tmp_path / "link")
    assert samples["cat/1.jpg"].error is None


def test_a_name_that_is_not_utf8_is_a_row_with_its_reason(tmp_path):
    make(tmp_path, "1.jpg")
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.jpg", os.O_CREAT))
    _, samples = read(tmp_path)
    assert samples["\\xff.jpg"].error == "the file name is not valid UTF-8"


def test_the_order_and_the_samples_do_not_depend_on_the_batch_size(tmp_path):
    make(tmp_path, *(f"c{n % 3}/{n}.jpg" for n in range(20)))
    orders = [list(read(tmp_path, size)[1]) for size in (1, 7, 100)]
    assert orders[0] == orders[1] == orders[2]
    assert len(orders[0]) == 20


def test_an_empty_folder_is_an_error_that_says_what_was_there(tmp_path):
    make(tmp_path, "a.txt", "b.txt", "c.csv")
    with pytest.raises(EspalierError, match=r"no picture in it .other files: 2 .txt, 1 .csv"):
        read(tmp_path)


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(EspalierError, match="There is nothing at"):
        read(tmp_path / "absent")


def test_an_unknown_option_is_refused_with_those_that_exist(tmp_path):
    make(tmp_path, "1.jpg")
    with pytest.raises(UsageError, match=r"no option 'subset'.*subsets"):
        read(tmp_path, subset="train")
    with pytest.raises(EspalierError, match="subsets is not a list"):
        read(tmp_path, subsets="train")


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"no format 'image_foldr'. Did you mean image_folder"):
        open_reader(Card("set", str(tmp_path), "image_foldr"))


def test_a_folder_in_an_object_store_is_read(tmp_path):
    files = fsspec.filesystem("memory")
    for path in ("train/cat/1.jpg", "test/dog/2.png", "train/.hidden/3.jpg"):
        files.pipe(f"/folder-test/{path}", b"")
    reader, samples = read("memory://folder-test")
    assert {(k, s.subset, s.labels, s.uri) for k, s in samples.items()} == {
        ("train/cat/1.jpg", "train", ("cat",), "memory:///folder-test/train/cat/1.jpg"),
        ("test/dog/2.png", "test", ("dog",), "memory:///folder-test/test/dog/2.png"),
    }
    assert reader.categories() == ["cat", "dog"]
