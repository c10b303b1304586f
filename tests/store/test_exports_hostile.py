"""Datasets made to harm: what they name outside is refused with a reason, and no export reads or writes there."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.errors import EspalierError
from resources.cards import Card
from resources.exports.base import Subset
from resources.exports.choose import choose_writer
from resources.exports.place import stage_export
from resources.formats.detect import open_reader
from resources.scan import scan


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
