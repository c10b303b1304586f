"""Formats that Datumaro imports: found out from the files, labels and captions carried, pickles and escapes refused."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import read_bytes
from espalier.io.formats.read.datumaro_reader import _picture
from espalier.io.formats.read.detect import general, known_formats, open_reader
from espalier.io.landing.cards import Card
from espalier.io.scanning.scan import scan


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(path)


def coco(root, kind="instances", names=("a.png", "b.png")):
    categories = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]
    images = [{"id": n, "file_name": name, "width": 30, "height": 20} for n, name in enumerate(names, 1)]
    if kind == "captions":
        found = [{"id": n, "image_id": 1, "caption": text} for n, text in enumerate(("eins — 一", "two"), 1)]
    else:
        boxes = ((1, 7), (1, 3), (2, 7), (1, 7))
        found = [
            {"id": n, "image_id": image, "category_id": label, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
            for n, (image, label) in enumerate(boxes, 1)
        ]
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": found, "categories": [] if kind == "captions" else categories}
    (root / "annotations" / f"{kind}_train.json").write_text(json.dumps(content))
    for n, name in enumerate(names):
        if ".." not in name:
            picture(root / "images" / "train" / name, n)
    return root


def yolo(root):
    for split in ("train", "val"):
        picture(root / "images" / split / "1.png", len(split))
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "1.txt").write_text("1 0.5 0.5 0.2 0.2\n0 0.3 0.3 0.1 0.1\n")
    (root / "obj.names").write_text("cat\ndog\n")
    return root


def read(root, format=None, **fields):
    reader = open_reader(Card("set", str(root), format, **fields))
    return reader, [sample for batch in reader.batches(1) for sample in batch]


def test_of_a_format_and_its_special_cases_the_general_one_is_taken():
    assert general(["voc", "voc_detection", "voc_layout"]) == ["voc"]
    assert general(["coco_instances"]) == ["coco_instances"]
    assert general(["kitti", "yolo"]) == ["kitti", "yolo"]


def test_coco_gives_the_classes_of_each_picture_once_in_their_order(tmp_path):
    reader, samples = read(coco(tmp_path))
    assert reader.format == "coco_instances"
    assert reader.categories() == ["dog", "cat"]
    assert [(s.sample_id, s.subset, s.labels, s.error) for s in samples] == [
        ("a", "train", ("dog", "cat"), None),
        ("b", "train", ("cat",), None),
    ]
    assert samples[0].uri == str(tmp_path / "images/train/a.png")


def test_captions_are_joined_in_their_order(tmp_path):
    reader, samples = read(coco(tmp_path, "captions"))
    assert reader.format == "coco_captions"
    assert [s.caption for s in samples] == ["eins — 一\ntwo", None]


def test_ids_that_two_subsets_share_get_their_subset(tmp_path):
    reader, samples = read(yolo(tmp_path))
    assert reader.format == "yolo"
    assert [(s.sample_id, s.subset, s.labels) for s in samples] == [
        ("train/1", "train", ("cat", "dog")),
        ("val/1", "val", ("cat", "dog")),
    ]
    rows = pa.Table.from_batches(scan(reader, threads=2)).to_pylist()
    assert [(row["width"], row["height"], row["error"]) for row in rows] == [(30, 20, None)] * 2


def test_voc_stands_for_its_special_cases(tmp_path):
    picture(tmp_path / "JPEGImages/x.jpg")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("x\n")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/x.xml").write_text(
        "<annotation><filename>x.jpg</filename><size><width>30</width><height>20</height></size><object><name>cat</name>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    reader, samples = read(tmp_path)
    assert reader.format == "voc"
    assert [(s.sample_id, s.labels) for s in samples] == [("x", ("cat",))]


def test_a_stray_file_beside_pictures_leaves_an_image_folder(tmp_path):
    picture(tmp_path / "cat/1.png")
    picture(tmp_path / "dog/1.png")
    (tmp_path / "truth.json").write_text('{"a": [1]}')
    reader, samples = read(tmp_path)
    assert reader.format == "image_folder"
    assert [s.labels for s in samples] == [("cat",), ("dog",)]


def test_a_picture_outside_the_folder_is_refused(tmp_path):
    picture(tmp_path / "secret.png")
    coco(tmp_path / "set", names=("a.png", "b.png", "../../../secret.png"))
    (tmp_path / "set/images/train/b.png").unlink()
    (tmp_path / "set/images/train/b.png").symlink_to(tmp_path / "secret.png")
    _, samples = read(tmp_path / "set")
    errors = {s.sample_id: s.error for s in samples}
    assert errors.pop("a") is None
    assert all("escapes base directory" in e or "parent directory" in e for e in errors.values())
    assert len(errors) == 2
    inside, outside = tmp_path / "set/images/train/b.png", tmp_path / "secret.png"
    from datumaro.components.media import Image as Media

    root = str(tmp_path / "set")
    assert _picture(Media.from_file(path=str(inside)), root)[0] == ""
    assert _picture(Media.from_file(path=str(outside)), root)[0] == ""
    assert _picture(Media.from_file(path=f"{root}/images/train/a.png"), root) == (f"{root}/images/train/a.png", None)


def test_a_pickle_is_not_loaded_without_trust(tmp_path):
    class Loaded:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    pixels = np.random.default_rng(0).integers(0, 255, (2, 3 * 32 * 32), dtype=np.uint8)
    batch = {"filenames": ["x.png", "y.png"], "labels": [1, 0], "data": pixels}
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data_batch_1").write_bytes(pickle.dumps(batch))
    (tmp_path / "set/batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}))
    with pytest.raises(UsageError, match=r"cifar is a pickle.*trust: true"):
        read(tmp_path / "set")
    _, samples = read(tmp_path / "set", trust=True)
    assert [(s.sample_id, s.labels) for s in samples] == [("x", ("dog",)), ("y", ("cat",))]
    import io

    seen = np.asarray(Image.open(io.BytesIO(read_bytes(samples[0].uri))))
    np.testing.assert_array_equal(seen, pixels[0].reshape(3, 32, 32).transpose(1, 2, 0))
    (tmp_path / "set/data_batch_1").write_bytes(pickle.dumps(Loaded()))
    with pytest.raises(EspalierError, match="cannot be read as cifar"):
        read(tmp_path / "set", trust=True)
    assert not (tmp_path / "pwned").exists()


def test_a_broken_annotation_file_is_said_in_one_line(tmp_path):
    coco(tmp_path)
    (tmp_path / "annotations/instances_train.json").write_text('{"images": [')
    with pytest.raises(EspalierError, match="cannot be read as coco") as caught:
        read(tmp_path, "coco")
    assert "\n" not in str(caught.value)


def test_every_importer_of_datumaro_is_a_known_format():
    assert {"coco", "voc", "yolo", "cvat", "open_images", "webdataset", "parquet"} <= set(known_formats())
    assert len(known_formats()) > 85


def test_the_order_does_not_depend_on_the_importer(tmp_path):
    names = tuple(f"{n}.png" for n in (5, 10, 1, 3))
    _, samples = read(coco(tmp_path, names=names))
    assert [s.sample_id for s in samples] == ["1", "10", "3", "5"]


def test_without_datumaro_its_formats_are_refused_with_what_to_install(tmp_path, monkeypatch):
    from espalier.io.formats.read import datumaro_reader

    def absent():
        raise EspalierError("This format needs the package datumaro.", "Install it.")

    monkeypatch.setattr(datumaro_reader, "environment", absent)
    picture(tmp_path / "cat/1.png")
    with pytest.raises(EspalierError, match="needs the package datumaro"):
        read(tmp_path, "voc")
    (tmp_path / "truth.json").write_text("{}")
    assert read(tmp_path)[0].format == "image_folder"
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/x.xml").write_text("<annotation/>")
    with pytest.raises(EspalierError, match="needs the package datumaro"):
        read(tmp_path)
