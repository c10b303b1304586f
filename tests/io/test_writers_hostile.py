"""Datasets made to harm: what they name outside is refused with a reason, and no export reads or writes there."""

import io
import itertools
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.core.errors import EspalierError
from espalier.io.files import cells
from espalier.io.formats.read import datumaro_reader
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.write.base import Subset
from espalier.io.formats.write.choose import choose_writer
from espalier.io.formats.write.place import stage_export
from espalier.io.landing.cards import Card, read_card
from espalier.io.scanning.scan import scan


def picture(seed=0):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def export_readable(root, target, format=None, to=""):
    """Scan as the chain does, then export every readable sample; return (errors by id, ids of the export)."""
    card = Card("set", str(root), format)
    reader = open_reader(card)
    rows = pa.Table.from_batches(scan(reader, threads=1))
    errors = dict(zip(rows["sample_id"].to_pylist(), rows["error"].to_pylist(), strict=True))
    kept = rows.filter(pa.compute.is_null(rows["error"])).sort_by("sample_id")
    subset = Subset(card, reader.format, kept)
    write = choose_writer(reader.format, to)[1]
    staged, written = stage_export(subset, write, target, link=False, overwrite=False, progress=lambda _: None)
    staged.commit()
    return {key: why for key, why in errors.items() if why}, sorted(written.files)


def everything(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(picture(99))
    return path


def outside(tmp_path):
    """What lies beside source and export; nothing may come or change there."""
    return {k: v for k, v in everything(tmp_path).items() if not k.startswith(("source", "out"))}


def test_a_hostile_tar_gives_its_good_samples_and_nothing_else(tmp_path, secret):
    source = tmp_path / "source"
    source.mkdir()
    for shard in range(2):
        with tarfile.open(source / f"{shard}.tar", "w") as tar:
            for name, target in (("../../evil.png", ""), ("/evil.png", ""), ("l.png", str(secret)), ("good.png", "")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
                info.size = 0 if target else len(picture(shard))
                tar.addfile(info, io.BytesIO(picture(shard)))
    (source / "classes.txt").symlink_to(secret)
    before = outside(tmp_path)
    errors, kept = export_readable(source, tmp_path / "out")
    assert kept == ["good"], "the second of a key is refused"
    assert len(errors) == 7
    assert outside(tmp_path) == before
    assert [*everything(tmp_path / "out")] == ["00000.tar"]
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        assert tar.getnames() == ["good.png"]


def test_a_member_that_is_no_file_ends_the_export_with_its_name(tmp_path, secret):
    source = tmp_path / "source"
    source.mkdir()
    with tarfile.open(source / "0.tar", "w") as tar:
        info = tarfile.TarInfo("a.png")
        info.size = len(picture())
        tar.addfile(info, io.BytesIO(picture()))
        info = tarfile.TarInfo("a.npy")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(info)
    with pytest.raises(EspalierError, match=r"'a\.npy' is a link"):
        export_readable(source, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret.png", "source"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_paths_out_of_a_table_are_not_followed(tmp_path, secret, kind):
    source = tmp_path / "source"
    source.mkdir()
    (source / "in.png").write_bytes(picture())
    (source / "link.png").symlink_to(secret)
    paths = ["in.png", "../secret.png", str(secret), "link.png", "x/../../secret.png", "in.png\0"]
    if kind == "csv":
        (source / "x.csv").write_text("path\n" + "\n".join(paths[:-1]) + "\n")
    else:
        pq.write_table(pa.table({"path": paths}), source / "x.parquet")
    before = outside(tmp_path)
    errors, kept = export_readable(source / f"x.{kind}", tmp_path / "out")
    assert kept == ["in.png"]
    assert errors.keys() == set(paths[1:-1] if kind == "csv" else paths[1:])
    assert outside(tmp_path) == before
    assert everything(tmp_path / "out")["in.png"] == picture()
    assert secret.read_bytes() not in everything(tmp_path / "out").values()


def test_links_beside_img2dataset_pictures_do_not_come_along(tmp_path, secret):
    source = tmp_path / "source"
    (source / "00000").mkdir(parents=True)
    (source / "00000/000.png").write_bytes(picture())
    (source / "00000/000.json").symlink_to(secret)
    pq.write_table(pa.table({"key": ["000", "../../secret"], "caption": ["a", "b"]}), source / "00000.parquet")
    errors, kept = export_readable(source, tmp_path / "out", "parquet")
    assert kept == ["000"]
    assert errors.keys() == {"../../secret"}
    assert set(everything(tmp_path / "out")) == {"00000.parquet", "00000/000.png"}


@pytest.mark.parametrize("name", ["../state", "/etc", "..", "a/b"])
def test_a_saved_dataset_cannot_name_files_elsewhere(tmp_path, name):
    source = tmp_path / "source"
    source.mkdir()
    with pa.ipc.new_stream(str(source / "data.arrow"), pa.schema([("text", pa.string())])):
        pass
    (source / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(EspalierError, match="outside its folder"):
        export_readable(source, tmp_path / "out")
    (source / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    with pytest.raises(EspalierError, match="outside its folder"):
        export_readable(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_item_whose_id_climbs_out_is_not_written_there(tmp_path):
    source = tmp_path / "source"
    (source / "annotations").mkdir(parents=True)
    (source / "images/default").mkdir(parents=True)
    (source / "images/default/a.png").write_bytes(picture())
    item = {"id": "../../../evil", "annotations": [], "image": {"path": "a.png", "size": [9, 12]}}
    content = {"info": {}, "categories": {"label": {"labels": []}}, "items": [item]}
    (source / "annotations/default.json").write_text(json.dumps(content))
    before = outside(tmp_path)
    with pytest.raises(EspalierError, match="must not contain"):
        export_readable(source, tmp_path / "out", "datumaro", "coco")
    assert outside(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


def coco(root, names=("a.png", "b.png"), broken=False):
    """Pictures with a box each; the first one's box has no class when ``broken``."""
    (root / "annotations").mkdir(parents=True)
    (root / "images/train").mkdir(parents=True)
    images, boxes = [], []
    for number, name in enumerate(names, 1):
        if "/" not in name:
            (root / "images/train" / name).write_bytes(picture(number))
        images.append({"id": 10 * number, "file_name": name, "width": 12, "height": 9})
        label = "no number" if broken and number == 1 else 1
        about = {"id": number, "image_id": 10 * number, "category_id": label, "area": 4, "iscrowd": 0}
        boxes.append({**about, "bbox": [1, 1, 2, 2]})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations/instances_train.json").write_text(json.dumps(content))
    return root


def test_pictures_outside_are_rows_under_their_own_names(tmp_path, secret):
    source = coco(tmp_path / "source", ("20.png", "30.png", "../../../../secret.png", str(secret)))
    before = outside(tmp_path)
    errors, kept = export_readable(source, tmp_path / "out")
    assert kept == ["20", "30"], "though the pictures outside have the numbers 30 and 40"
    assert errors.keys() == {"../../../../secret", str(secret).removesuffix(".png")}
    assert outside(tmp_path) == before
    assert secret.read_bytes() not in everything(tmp_path / "out").values()


def test_a_broken_annotation_is_told_of_its_own_picture(tmp_path):
    source = coco(tmp_path / "source", ("x.png", "1.png"), broken=True)
    errors, kept = export_readable(source, tmp_path / "out")
    assert kept == ["1"], "though the broken annotation has the number 1"
    assert "an annotation cannot be imported" in errors["x"]


def test_annotations_that_are_links_out_are_refused(tmp_path):
    source = coco(tmp_path / "source")
    (source / "annotations/instances_train.json").rename(tmp_path / "elsewhere.json")
    (source / "annotations/instances_train.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(EspalierError, match=r"instances_train\.json: the link leaves the folder"):
        export_readable(source, tmp_path / "out")
    (source / "annotations/instances_train.json").unlink()
    (tmp_path / "elsewhere.json").rename(source / "annotations/real.json")
    (source / "annotations/instances_train.json").symlink_to("real.json")
    assert export_readable(source, tmp_path / "out", "coco_instances")[1] == ["a", "b"], "links inside are read"


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png"])
def test_a_zip_with_names_that_climb_out_is_refused(tmp_path, name):
    source = tmp_path / "source"
    source.mkdir()
    with zipfile.ZipFile(source / "a.zip", "w") as packed:
        packed.writestr("good.png", picture())
        packed.writestr(name, picture(1))
    with pytest.raises(EspalierError, match="cannot be read as image_zip"):
        export_readable(source, tmp_path / "out", "image_zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(datumaro_reader, "MAX_BYTES", 1 << 20)
    source = tmp_path / "source"
    source.mkdir()
    with zipfile.ZipFile(source / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x.png", bytes((1 << 20) + 1))
    with pytest.raises(EspalierError, match=r"'x\.png' is 1 MiB unpacked"):
        export_readable(source, tmp_path / "out", "image_zip")


def test_a_cell_that_is_a_bomb_is_a_row_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "MAX_CELL", 1 << 20)
    source = tmp_path / "source"
    source.mkdir()
    huge = bytes((1 << 20) + 1)
    pq.write_table(pa.table({"key": ["bomb"], "png": [huge]}), source / "0.parquet", compression="zstd")
    mixed = {"key": ["small", "hidden"], "png": [picture(), huge]}
    pq.write_table(pa.table(mixed), source / "1.parquet", compression="zstd")
    errors, kept = export_readable(source, tmp_path / "out")
    assert kept == ["small"]
    assert errors == dict.fromkeys(("bomb", "hidden"), "the cell holds more than 1 MiB")


@pytest.mark.parametrize("kind", ["voc", "cvat"])
def test_xml_that_names_other_files_or_grows_without_end_is_not_expanded(tmp_path, kind, secret):
    source = tmp_path / "source"
    entities = f'<!ENTITY x SYSTEM "file://{secret}">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij")
    )
    if kind == "voc":
        for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (source / name).mkdir(parents=True)
        (source / "JPEGImages/a.jpg").write_bytes(picture())
        (source / "ImageSets/Main/train.txt").write_text("a\n")
        text = f"<!DOCTYPE a [{entities}]><annotation><filename>&x;&j;</filename></annotation>"
        (source / "Annotations/a.xml").write_text(text)
        reader = open_reader(Card("set", str(source), "voc"))
        errors = [s.error for batch in reader.batches(1) for s in batch]
        assert len(errors) == 1
        assert "EntitiesForbidden" in errors[0]
    else:
        (source / "images").mkdir(parents=True)
        (source / "images/a.png").write_bytes(picture())
        text = f'<!DOCTYPE a [{entities}]><annotations><image id="0" name="a.png">&x;&j;</image></annotations>'
        (source / "train.xml").write_text(text)
        with pytest.raises(EspalierError, match="EntitiesForbidden"):
            export_readable(source, tmp_path / "out", "cvat")


def test_duplicate_keys_within_a_shard_give_the_first_only(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with tarfile.open(source / "0.tar", "w") as tar:
        for seed, name in enumerate(("a.png", "b.png", "a.png", "a.jpg")):
            info = tarfile.TarInfo(name)
            info.size = len(picture(seed))
            tar.addfile(info, io.BytesIO(picture(seed)))
    errors, kept = export_readable(source, tmp_path / "out")
    assert kept == ["a", "b"]
    assert "the sample id 'a' is there already" in errors.values()
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == {"a.png": picture(0), "b.png": picture(1)}


@pytest.mark.parametrize(
    "text",
    [
        "uri: DATA\noptions: &a\n  x: *a\n",
        "uri: DATA\noptions:\n  a: &a [x, x]\n  b: &b [*a, *a]\n  c: [*b, *b]\n",
        "uri: DATA\nkeep: &k [x]\ndrop: *k\n",
        "<<: &x {uri: DATA}\noptions: *x\n",
    ],
)
def test_a_card_that_refers_to_itself_is_refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text.replace("DATA", str(tmp_path)))
    with pytest.raises(EspalierError, match=r"x\.yaml has a reference \(\*\) \(line \d"):
        read_card(tmp_path / "x.yaml", "x", None)


@pytest.mark.parametrize("uri", ["../secret", "a/../../secret", "..", "x/../../../etc"])
def test_a_card_cannot_lead_out_of_the_landing_zone_by_a_relative_path(tmp_path, uri):
    zone = tmp_path / "landing"
    zone.mkdir()
    (tmp_path / "secret").mkdir()
    (zone / "x.yaml").write_text(f"uri: {uri}\n")
    with pytest.raises(EspalierError, match="leaves the landing zone"):
        read_card(zone / "x.yaml", "x", None)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [true]", "!!python/name:os.system"])
def test_a_card_runs_no_code(tmp_path, tag):
    (tmp_path / "x.yaml").write_text(f"uri: {tag}\n")
    with pytest.raises(EspalierError, match="is not YAML"):
        read_card(tmp_path / "x.yaml", "x", None)
