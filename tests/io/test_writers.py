"""Subsets written out: complete, in full shards, and at the target whole or not at all, whenever the writer dies."""

import io
import json
import os
import shutil
import signal
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io import atomic
from espalier.io.atomic import recover
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.write import place
from espalier.io.formats.write.base import Subset, inside
from espalier.io.formats.write.choose import choose_writer
from espalier.io.formats.write.place import check_replacement, check_source, check_target, own_folder, stage_export
from espalier.io.landing.cards import Card

N = 10


def picture(seed, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def image_folder(root):
    for i in range(N):
        path = root / ("train" if i % 2 else "val") / f"class {i % 5 // 4}" / f"ü.{i}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i, "JPEG"))
    return root


def tars(root):
    for shard in range(2):
        root.mkdir(exist_ok=True)
        with tarfile.open(root / f"{shard}.tar", "w") as tar:
            for i in range(shard * 5, shard * 5 + 5):
                about = json.dumps({"caption": f"c{i}", "n": i}).encode()
                fields = {
                    "jpg": picture(i, "JPEG"),
                    "txt": f"texte {i} 图".encode(),
                    "json": about,
                    "seg.npy": b"\0" * i,
                }
                for field, content in fields.items():
                    info = tarfile.TarInfo(f"d.{shard}/{i:03}.{field}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    (root / "classes.txt").write_text("a\nb\n")
    return root


def tables(root):
    root.mkdir()
    for file in range(2):
        rows = range(file * 5, file * 5 + 5)
        table = pa.table(
            {
                "key": [f"{i:03}" for i in rows],
                "caption": [f"c{i}" for i in rows],
                "jpg": [picture(i) for i in rows],
                "nested": [[{"x": i}] * i for i in rows],
            }
        )
        pq.write_table(table.replace_schema_metadata({"note": "kept"}), root / f"{file}.parquet", row_group_size=2)
    return root


def files_output(root):
    keys = [f"{i:03}" for i in range(N)]
    (root / "00000").mkdir(parents=True)
    for i, key in enumerate(keys):
        (root / "00000" / f"{key}.png").write_bytes(picture(i))
        (root / "00000" / f"{key}.json").write_text(json.dumps({"n": i}))
    pq.write_table(pa.table({"key": keys, "caption": keys, "status": ["success"] * N}), root / "00000.parquet")
    return root


def saved(root):
    kinds = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, rows in (("train", range(6)), ("test", range(6, N))):
        (root / split).mkdir(parents=True)
        cells = pa.array([{"bytes": picture(i), "path": None} for i in rows], kinds)
        table = pa.table({"image": cells, "id": [f"n{i}" for i in rows]})
        with pa.ipc.new_stream(str(root / split / "data-00000-of-00001.arrow"), table.schema) as out:
            out.write_table(table)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "f", "_split": split}
        (root / split / "state.json").write_text(json.dumps(state))
        info = {"splits": {split: {"name": split, "num_examples": len(rows), "num_bytes": 1}}}
        (root / split / "dataset_info.json").write_text(json.dumps(info))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return root


def listed(root):
    (root / "pictures").mkdir(parents=True)
    lines = ["file_name,text,extra"]
    for i in range(N):
        (root / "pictures" / f"{i}.png").write_bytes(picture(i))
        lines.append(f'pictures/{i}.png,"a, ""b"" {i}",{i}')
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def coco(root):
    (root / "annotations").mkdir(parents=True)
    (root / "images/train").mkdir(parents=True)
    for i in range(N):
        (root / "images/train" / f"{i}.JPG").write_bytes(picture(i, "JPEG"))
    boxes = [
        {
            "id": n + 1,
            "image_id": n // 2 + 1,
            "category_id": n % 2 + 1,
            "bbox": [n % 5, 1, 3, 4],
            "area": 12,
            "iscrowd": 0,
        }
        for n in range(2 * N)
    ]
    content = {
        "images": [{"id": i + 1, "file_name": f"{i}.JPG", "width": 12, "height": 9} for i in range(N)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (root / "annotations/instances_train.json").write_text(json.dumps(content))
    return root


def cvat(root):
    (root / "images").mkdir(parents=True)
    lines = []
    for i in range(N):
        (root / "images" / f"{i}.png").write_bytes(picture(i))
        box = (
            '<box label="cat" occluded="1" xtl="1" ytl="2" xbr="3.5" ybr="4"><attribute name="a">2.4</attribute></box>'
        )
        free = '<polygon label="?" occluded="0" points="1,2;3,4;6,5"/>'
        lines.append(f'<image id="{i}" name="{i}.png" width="12" height="9">{box}{free}</image>')
    shapes = "".join(
        f'<points frame="{i}" outside="0" occluded="0" keyframe="{i % 2}" points="1,2;3,{i}"/>' for i in range(N)
    )
    track = f'<track id="0" label="dog">{shapes}</track>'
    attribute = "<attribute><name>a</name><input_type>number</input_type><values>0\n9</values></attribute>"
    labels = f"<label><name>cat</name><attributes>{attribute}</attributes></label><label><name>dog</name></label>"
    size = "<original_size><width>12</width><height>9</height></original_size>"
    meta = f"<meta><task><size>{N}</size><mode>interpolation</mode><labels>{labels}</labels>{size}</task></meta>"
    (root / "train.xml").write_text(f"<annotations><version>1.1</version>{meta}{''.join(lines)}{track}</annotations>")
    return root


def voc(root):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationClass", "SegmentationObject"):
        (root / name).mkdir(parents=True)
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    part = f"<part><name>head</name>{box}</part>"
    actions = "<actions><walking>1</walking><running>0</running></actions>"
    for i in range(N):
        (root / "JPEGImages" / f"{i}.jpg").write_bytes(picture(i, "JPEG"))
        thing = f"<object><name>person</name><difficult>{i % 2}</difficult>{box}{part}{actions}</object>"
        size = "<size><width>12</width><height>9</height><depth>3</depth></size>"
        (root / "Annotations" / f"{i}.xml").write_text(
            f"<annotation><filename>{i}.jpg</filename>{size}{thing}</annotation>"
        )
    (root / "ImageSets/Main/train.txt").write_text("".join(f"{i}\n" for i in range(5)))
    (root / "ImageSets/Main/test.txt").write_text("".join(f"{i}\n" for i in range(5, N)))
    (root / "ImageSets/Main/person_train.txt").write_text("".join(f"{i}  {i % 2 or -1}\n" for i in range(5)))
    return root


SOURCES = {f.__name__: f for f in (image_folder, tars, tables, files_output, saved, listed, coco, cvat, voc)}


def samples(where, **options):
    reader = open_reader(Card("set", str(where), None, options))
    return reader, {s.sample_id: s for batch in reader.batches(4) for s in batch}


def subset_of(source, keep=lambda i, _: i % 2 == 0, shard_size=2, **options):
    reader, found = samples(source, **options)
    kept = [s for i, (_, s) in enumerate(sorted(found.items())) if keep(i, s)]
    names = ("sample_id", "subset", "uri", "caption")
    columns = {name: pa.array([getattr(s, name) for s in kept], pa.string()) for name in names}
    columns["labels"] = pa.array([list(s.labels) for s in kept], pa.list_(pa.string()))
    return Subset(Card("set", str(source), None, options), reader.format, pa.table(columns), shard_size)


def export(source, target, *, format="", link=False, overwrite=False, progress=lambda _: None, **fields):
    subset = subset_of(source, **fields)
    write = choose_writer(subset.source, format)[1]
    staged, written = stage_export(subset, write, target, link=link, overwrite=overwrite, progress=progress)
    assert not target.exists() or overwrite
    staged.commit()
    assert written.files.keys() == subset.ids()
    return written.files


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def described(root):
    """What a reader finds: everything of each sample, and its bytes."""
    from espalier.io.files.blobs import read_bytes

    return {k: (s.subset, s.labels, s.caption, s.uid, s.uri and read_bytes(s.uri)) for k, s in samples(root)[1].items()}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    return SOURCES[request.param](tmp_path / "source")


def test_reading_the_export_gives_the_kept_samples_and_no_other(source, tmp_path):
    before = described(source)
    kept = subset_of(source).ids()
    export(source, tmp_path / "out")
    assert described(tmp_path / "out") == {key: before[key] for key in kept}
    assert len(kept) == N / 2


def test_exporting_all_changes_no_sample(source, tmp_path):
    export(source, tmp_path / "out", keep=lambda *_: True)
    assert described(tmp_path / "out") == described(source)


def test_two_exports_are_equal_byte_by_byte(source, tmp_path):
    for name in ("one", "two"):
        export(source, tmp_path / name)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two


@pytest.mark.parametrize("moment", ["while writing", "before the commit", "at the swap"])
@pytest.mark.parametrize("old", [False, True], ids=["new target", "old target"])
def test_a_writer_that_is_killed_leaves_the_target_absent_or_whole(source, tmp_path, moment, old):
    target = tmp_path / "out"
    if old:
        target.mkdir()
        (target / "old.txt").write_text("still here")
    before = contents(target) if old else None
    child = os.fork()
    if child == 0:
        die_at(moment, lambda progress: export(source, target, overwrite=old, progress=progress))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    if moment == "at the swap" and target.exists() and (not old or "old.txt" not in contents(target)):
        assert len(described(target)) == N / 2
    else:
        assert (contents(target) if target.exists() else None) == before
    export(source, target, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"], "left-overs of the dead go"
    assert len(described(target)) == N / 2


def test_a_writer_that_is_killed_at_any_step_leaves_the_old_target_or_the_new_one(source, tmp_path, killed_everywhere):
    target = tmp_path / "work" / "out"
    target.mkdir(parents=True)
    (target / "old.txt").write_text("still here")
    before = described(source)
    wanted = {key: before[key] for key in subset_of(source).ids()}

    def check():
        assert contents(target) == {"old.txt": b"still here"} or described(target) == wanted

    assert killed_everywhere(target.parent, lambda: export(source, target, overwrite=True), check) >= 3
    assert described(target) == wanted
    assert [p.name for p in target.parent.iterdir()] == ["out"]


def die_at(moment, run):
    """Run an export in this (forked) process and kill it at one moment."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        if moment == "before the commit":
            place.StagedExport.commit = die
        if moment == "at the swap":
            place.sync = die
        calls = iter(range(100))
        run((lambda _: die() if next(calls) == 0 else None) if moment == "while writing" else (lambda _: None))
    finally:
        os._exit(0)


def test_where_folders_cannot_change_places_the_old_one_is_set_aside_and_put_back(tmp_path, monkeypatch):
    source, target = image_folder(tmp_path / "source"), tmp_path / "out"
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    export(source, target)
    export(source, target, overwrite=True, keep=lambda i, _: i == 0)
    assert len(samples(target)[1]) == 1
    aside = atomic._aside(target)
    target.rename(aside)  # killed between the two renames
    recover(target)
    assert len(samples(target)[1]) == 1
    aside.mkdir()  # killed before the old one went
    recover(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"]


def test_a_failed_export_leaves_nothing(source, tmp_path):
    def broken(_):
        raise EspalierError("the disk is full")

    with pytest.raises(EspalierError, match="disk is full"):
        export(source, tmp_path / "out", progress=broken)
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_is_taken(tmp_path):
    source, target = image_folder(tmp_path / "source"), tmp_path / "out"
    target.mkdir()
    (target / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"not empty.*--overwrite"):
        export(source, target)
    assert [p.name for p in target.iterdir()] == ["mine.txt"]
    (target / "mine.txt").unlink()
    check_target(target, overwrite=False)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(target)
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="not a folder"):
            check_target(tmp_path / name, overwrite=True)


def test_pictures_keep_paths_and_bytes_and_times_or_are_linked(tmp_path):
    source = image_folder(tmp_path / "source")
    files = export(source, tmp_path / "copy")
    assert all((tmp_path / "copy" / f).read_bytes() == (source / f).read_bytes() for f in files)
    assert all((tmp_path / "copy" / f).stat().st_mtime_ns == (source / f).stat().st_mtime_ns for f in files)
    export(source, tmp_path / "link", link=True)
    assert all((tmp_path / "link" / f).samefile(source / f) for f in files)
    assert contents(tmp_path / "link") == contents(tmp_path / "copy")


def test_no_class_folder_is_empty(tmp_path):
    """Datumaro and torchvision refuse an empty one."""
    source = image_folder(tmp_path / "source")
    export(source, tmp_path / "out", keep=lambda _, s: s.labels == ("class 0",))
    folders = [p for p in (tmp_path / "out").rglob("*") if p.is_dir()]
    assert all(any(p.iterdir()) for p in folders)
    assert sorted(p.name for p in (tmp_path / "out/val").iterdir()) == ["class 0"]


@pytest.mark.parametrize("make", [tars, tables, saved, coco])
def test_what_is_packed_cannot_be_linked(make, tmp_path):
    with pytest.raises(EspalierError, match=r"cannot (be )?link.*--copy"):
        export(make(tmp_path / "source"), tmp_path / "out", link=True)


def test_shards_are_full_but_the_last_and_hold_every_member_untouched(tmp_path):
    source = tars(tmp_path / "source")
    files = export(source, tmp_path / "out", keep=lambda i, _: i not in (1, 4), shard_size=3)
    assert list(files.values()) == ["00000.tar"] * 3 + ["00001.tar"] * 3 + ["00002.tar"] * 2
    assert (tmp_path / "out/classes.txt").read_text() == "a\nb\n"

    def unpacked(root):
        found = {}
        for path in sorted(root.glob("*.tar")):
            with tarfile.open(path) as tar:
                found |= {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
        return found

    before, after = unpacked(source), unpacked(tmp_path / "out")
    assert after == {k: v for k, v in before.items() if k.split(".")[1].split("/")[1] not in ("001", "004")}
    assert list(after) == [k for k in before if k in after], "in the order of the source"


def test_the_last_whole_sample_before_a_damaged_end_is_written_too(tmp_path):
    source = tars(tmp_path / "source")
    shard = source / "0.tar"
    shard.write_bytes(shard.read_bytes()[: shard.read_bytes().index(b"d.0/003.jpg") + 100])
    kept = export(source, tmp_path / "out", keep=lambda _, s: s.error is None)
    assert "d.0/002" in kept
    assert described(tmp_path / "out").keys() == kept.keys()


def test_keys_that_shards_share_keep_their_shard(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for shard in "ab":
        with tarfile.open(source / f"{shard}.tar", "w") as tar:
            info = tarfile.TarInfo("0.png")
            info.size = len(picture(ord(shard)))
            tar.addfile(info, io.BytesIO(picture(ord(shard))))
    export(source, tmp_path / "out", keep=lambda *_: True, shard_in_key=True)
    assert described(tmp_path / "out") == {k: described_with(source)[k] for k in ("a/0", "b/0")}


def described_with(root):
    from espalier.io.files.blobs import read_bytes

    found = samples(root, shard_in_key=True)[1]
    return {k: (s.subset, s.labels, s.caption, s.uid, read_bytes(s.uri)) for k, s in found.items()}


def test_tables_keep_schema_metadata_and_other_columns_in_full_row_groups(tmp_path):
    source = tables(tmp_path / "source")
    export(source, tmp_path / "out", keep=lambda i, _: i not in (0, 3, 9))
    for name, rows in (("0.parquet", [1, 2, 4]), ("1.parquet", [0, 1, 2, 3])):
        before, after = pq.read_table(source / name), pq.read_table(tmp_path / "out" / name)
        assert after.equals(before.take(rows))
        assert after.schema.equals(before.schema, check_metadata=True)
        assert pq.ParquetFile(tmp_path / "out" / name).num_row_groups == 1


def test_absolute_paths_in_tables_and_lists_become_relative(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        (pictures / f"{i}.png").write_bytes(picture(i))
    paths = [str(pictures / f"{i}.png") for i in range(4)]
    source = tmp_path / "lists"
    source.mkdir()
    (source / "x.jsonl").write_text("".join(json.dumps({"path": p, "text": "é"}) + "\n" for p in paths))
    export(source / "x.jsonl", tmp_path / "out", root=str(pictures))
    assert (tmp_path / "out/x.jsonl").read_text() == (
        '{"path": "0.png", "text": "é"}\n{"path": "2.png", "text": "é"}\n'
    )
    assert described(tmp_path / "out/x.jsonl")["2.png"][-1] == picture(2)
    pq.write_table(pa.table({"path": paths}), source / "x.parquet")
    export(source / "x.parquet", tmp_path / "again", root=str(pictures))
    assert pq.read_table(tmp_path / "again/x.parquet")["path"].to_pylist() == ["0.png", "2.png"]
    assert described(tmp_path / "again/x.parquet")["2.png"][-1] == picture(2)


def test_a_saved_dataset_counts_what_it_holds(tmp_path):
    export(saved(tmp_path / "source"), tmp_path / "out", keep=lambda i, _: i < 2)
    info = json.loads((tmp_path / "out/train/dataset_info.json").read_text())
    assert info["splits"]["train"]["num_examples"] == 2
    assert json.loads((tmp_path / "out/test/dataset_info.json").read_text())["splits"]["test"]["num_examples"] == 0
    assert json.loads((tmp_path / "out/train/state.json").read_text())["_fingerprint"] != "f"


def test_every_annotation_of_a_kept_item_comes_back_and_pictures_keep_their_bytes(tmp_path):
    from datumaro import Dataset

    source = coco(tmp_path / "source")
    export(source, tmp_path / "out")
    before, after = (Dataset.import_from(str(p), "coco_instances") for p in (source, tmp_path / "out"))
    assert {i.id for i in after} == set("02468")
    for item in after:
        assert item.annotations == before.get(item.id, "train").annotations
        assert len(item.annotations) == 2
        assert Path(item.media.path).read_bytes() == (source / f"images/train/{item.id}.JPG").read_bytes()


def test_cvat_keeps_shapes_without_a_label_typed_attributes_and_tracks(tmp_path):
    """Datumaro's own exporter loses all three."""
    from datumaro import Dataset

    source = cvat(tmp_path / "source")
    export(source, tmp_path / "out", link=True)
    before, after = (Dataset.import_from(str(p), "cvat") for p in (source, tmp_path / "out"))
    assert {i.id for i in after} == set("02468")
    for item in after:
        assert item.annotations == before.get(item.id, "train").annotations
        assert len(item.annotations) == 3
        assert {a.attributes.get("track_id") for a in item.annotations} == {None, 0}
        assert [a.label for a in item.annotations if a.type.name == "polygon"] == [None]


def test_voc_keeps_body_parts_actions_and_class_lists(tmp_path):
    """Datumaro's own exporter loses the first two."""
    from datumaro import Dataset

    source = voc(tmp_path / "source")
    export(source, tmp_path / "out", link=True)
    before, after = (Dataset.import_from(str(p), "voc") for p in (source, tmp_path / "out"))
    assert {(i.id, i.subset) for i in after} == {(str(i), "train" if i < 5 else "test") for i in range(0, N, 2)}
    labels = before.categories()[next(iter(before.categories()))]
    for item in after:
        was = before.get(item.id, item.subset)
        assert item.annotations == was.annotations
        assert "head" in {labels[a.label].name for a in item.annotations}
    assert (tmp_path / "out/ImageSets/Main/person_train.txt").read_text() == "0  -1\n2  -1\n4  -1\n"
    assert not (tmp_path / "out/Annotations/1.xml").exists()


@pytest.mark.parametrize("make", [image_folder, tars, tables, listed])
@pytest.mark.parametrize("format", ["datumaro", "coco"])
def test_our_own_formats_become_those_that_datumaro_writes(make, format, tmp_path):
    source = make(tmp_path / "source")
    before = described(source)
    export(source, tmp_path / "out", format=format)
    after = described(tmp_path / "out")
    assert len(after) == N / 2
    kept = sorted(subset_of(source).ids())
    assert sorted(v[-1] for v in after.values()) == sorted(before[k][-1] for k in kept), "pictures keep their bytes"
    assert sorted(v[1] for v in after.values()) == sorted(before[k][1] for k in kept)
    assert sorted(v[2] or "" for v in after.values()) == sorted(before[k][2] or "" for k in kept)


def test_a_format_that_cannot_be_written_is_refused_with_those_that_can():
    with pytest.raises(UsageError, match=r"read and not written.*--format"):
        choose_writer("roboflow_voc")
    with pytest.raises(UsageError, match="coco"):
        choose_writer("image_folder", "cocoo")


def test_a_name_cannot_leave_the_export(tmp_path):
    for name in ("../x", "/x", "a/../../x", "a//x", "", "a/./x", "a\0"):
        with pytest.raises(EspalierError, match="does not stay"):
            inside(tmp_path, name)


def test_a_target_in_the_data_or_around_it_is_refused(tmp_path):
    source = image_folder(tmp_path / "data" / "source")
    (tmp_path / "alias").symlink_to(source)
    card = Card("set", str(source))
    for target in (source, source / "out", tmp_path / "data", tmp_path / "alias" / "out"):
        with pytest.raises(UsageError, match="lie in each other"):
            check_source(card, target)
    check_source(card, tmp_path / "data" / "other")


def test_a_folder_is_not_replaced_by_an_export_that_lacks_what_is_no_sample(source, tmp_path):
    export(source, tmp_path / "out")
    uris = [s.uri for s in samples(source)[1].values()]
    check_replacement(source, uris, tmp_path / "out")
    (source / "LICENSE").write_text("mine")
    with pytest.raises(UsageError, match="does not carry over LICENSE"):
        check_replacement(source, uris, tmp_path / "out")


def test_annotations_of_a_subset_of_which_nothing_is_kept_go_with_it(tmp_path):
    source = coco(tmp_path / "source")
    uris = [s.uri for s in samples(source)[1].values()]
    export(source, tmp_path / "out")
    shutil.copy(source / "annotations/instances_train.json", source / "annotations/instances_val.json")
    with pytest.raises(UsageError, match="instances_val"):
        check_replacement(source, uris, tmp_path / "out", {"train"})
    check_replacement(source, uris, tmp_path / "out", {"val"})


def test_only_a_folder_that_the_export_carries_over_whole_can_be_replaced(tmp_path):
    source = image_folder(tmp_path / "source")
    assert own_folder(Card("set", str(source)), "image_folder") == source
    (source / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt"):
        own_folder(Card("set", str(source)), "image_folder")
    (source / "notes.txt").rename(source / ".git")
    with pytest.raises(UsageError, match=r"\.git"):
        own_folder(Card("set", str(source)), "image_folder")
    for uri in ("memory://bucket/set", str(source / "train" / "*"), str(tmp_path / "nothing")):
        with pytest.raises(UsageError, match="no local folder"):
            own_folder(Card("set", uri), "image_folder")
