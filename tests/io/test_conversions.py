"""Every format becomes every other: keys, labels, captions and bytes come back, and what is lost is told."""

import csv
import io
import json
import logging
import os
import resource
import signal
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import read_bytes
from espalier.io.formats.read.boxes import boxes_of
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.read.webdataset import split_member
from espalier.io.formats.write.base import Subset
from espalier.io.formats.write.choose import choose_writer, writable
from espalier.io.formats.write.convert import extension_of
from espalier.io.formats.write.place import stage_export
from espalier.io.formats.write.webdataset import tar_keys
from espalier.io.landing.cards import Card

OURS = ("image_folder", "webdataset", "parquet", "hf_disk", "csv", "jsonl")
READ_AS = {"csv": "list", "jsonl": "list"}
ANNOTATED = ("coco", "voc", "datumaro", "cvat", "yolo", "imagenet", "open_images")
CLASSES = ("zebra", "ape", "4")


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.WARNING)  # Datumaro tells of every box without a polygon
    yield
    logging.disable(logging.NOTSET)


def picture(seed, kind="JPEG"):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def base(root, kind="JPEG"):
    """Eight pictures in two subsets, with a class, a text and a uid each: what every format of ours can hold."""
    extension = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}[kind]
    for at, subset in enumerate(("train", "test")):
        (root / subset).mkdir(parents=True)
        lines = []
        for i in range(at * 4, at * 4 + 4):
            (root / subset / f"{i}.{extension}").write_bytes(picture(i, kind))
            row = {
                "file_name": f"{i}.{extension}",
                "id": f"{subset}/00{i % 3}/ü {i}",
                "text": f'a "{i}",\n图 {i}',
                "label": CLASSES[i % 3],
                "uid": f"{i:032x}",
            }
            lines.append(json.dumps(row))
        (root / subset / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return root


def coco(root):
    """Four pictures; each has two boxes, a polygon and a text."""
    (root / "annotations").mkdir(parents=True)
    (root / "images/train").mkdir(parents=True)
    images, shapes, texts = [], [], []
    for i in range(4):
        (root / "images/train" / f"{i}.jpg").write_bytes(picture(i))
        images.append({"id": i + 1, "file_name": f"{i}.jpg", "width": 12, "height": 9})
        texts.append({"id": i + 1, "image_id": i + 1, "caption": f"text {i}"})
        for n in range(3):
            shape = {"bbox": [n, 1, 3, 4], "area": 12} | (
                {"segmentation": [[n, 1, n + 3, 1, n + 3, 5]]} if n == 2 else {}
            )
            shapes.append(
                {"id": 3 * i + n + 1, "image_id": i + 1, "category_id": (i + n) % 2 + 1, "iscrowd": 0, **shape}
            )
    names = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    for name, found in (("instances", shapes), ("captions", texts)):
        content = {"images": images, "annotations": found, "categories": names if name == "instances" else []}
        (root / f"annotations/{name}_train.json").write_text(json.dumps(content))
    return root


def samples(where):
    reader = open_reader(Card("set", str(where)))
    return reader, {s.sample_id: s for batch in reader.batches(3) for s in batch}


def export(source, target, format, *, keep=lambda i: True, shard_size=3, link=False, progress=lambda _: None):
    """Write what ``keep`` says of the samples in order of id; return what the writer says."""
    reader, found = samples(source)
    kept = [s for i, (_, s) in enumerate(sorted(found.items())) if keep(i)]
    assert all(s.error is None for s in kept)
    columns = {name: pa.array([getattr(s, name) for s in kept], pa.string()) for name in ("sample_id", "subset", "uri")}
    columns |= {name: pa.array([getattr(s, name) for s in kept], pa.string()) for name in ("caption", "uid")}
    columns["labels"] = pa.array([list(s.labels) for s in kept], pa.list_(pa.string()))
    subset = Subset(Card("set", str(source)), reader.format, pa.table(columns), shard_size, tuple(reader.categories()))
    write = choose_writer(reader.format, format)[1]
    staged, written = stage_export(subset, write, target, link=link, overwrite=True, progress=progress)
    staged.commit()
    assert written.files.keys() == subset.ids()
    assert all((target / file).is_file() for file in written.files.values() if file)
    return written


def described(where, format):
    """What is known of each sample by the bytes of its picture."""
    found = samples(where)[1].values()
    about = {s.uri and read_bytes(s.uri): (s.sample_id, s.subset, s.labels, s.caption, s.uid) for s in found}
    assert len(about) == len(found)
    if format in ("webdataset", "image_folder"):  # their keys and paths cannot always be the id
        about = {data: values[1:] for data, values in about.items()}
    return {data: (*values[:-2], None, None) for data, values in about.items()} if format == "image_folder" else about


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The base in every format of ours, each written from the lists."""
    root = tmp_path_factory.mktemp("originals")
    base(root / "jsonl")
    for format in OURS:
        if format != "jsonl":
            export(root / "jsonl", root / format, format)
    return root


def equal(source, format, target, asked):
    """Compare as far as the poorer of two formats goes."""
    poorer = "image_folder" if "image_folder" in (format, asked) else asked if asked == "webdataset" else format
    return described(source, poorer) == described(target, poorer)


@pytest.mark.parametrize("asked", OURS)
@pytest.mark.parametrize("format", OURS)
def test_every_format_becomes_every_other(originals, tmp_path, format, asked):
    written = export(originals / format, tmp_path / "out", asked)
    reader, found = samples(tmp_path / "out")
    assert reader.format == READ_AS.get(asked, asked), "it is found out again by its files"
    assert len(found) == 8
    assert equal(originals / format, format, tmp_path / "out", asked)
    assert any("captions" in note for note in written.notes) == (asked == "image_folder" != format)


@pytest.mark.parametrize("asked", OURS)
def test_only_kept_samples_are_in_it(originals, tmp_path, asked):
    export(originals / "jsonl", tmp_path / "out", asked, keep=lambda i: i in (1, 4, 6))
    kept = {key for i, key in enumerate(sorted(samples(originals / "jsonl")[1])) if i in (1, 4, 6)}
    whole = described(originals / "jsonl", "jsonl")
    assert described(tmp_path / "out", asked).keys() == {d for d, (key, *_) in whole.items() if key in kept}


@pytest.mark.parametrize("asked", OURS)
def test_two_conversions_are_equal_byte_by_byte(originals, tmp_path, asked):
    for name in ("one", "two"):
        export(originals / "parquet", tmp_path / name, asked)
    one, two = (
        {str(p.relative_to(r)): p.read_bytes() for p in r.rglob("*.*")} for r in map(tmp_path.joinpath, ("one", "two"))
    )
    assert one == two


def test_tars_hold_what_the_webdataset_package_reads_in_full_shards(originals, tmp_path):
    import webdataset

    export(originals / "jsonl", tmp_path / "out", "webdataset")
    urls = sorted(map(str, (tmp_path / "out").rglob("*.tar")))
    sizes = [len(list(webdataset.WebDataset([url], shardshuffle=False))) for url in urls]
    assert sizes == [3, 1, 3, 1]
    names = (tmp_path / "out/classnames.txt").read_text().splitlines()
    assert sorted(names) == sorted(CLASSES)
    for raw, one in zip(
        webdataset.WebDataset(urls, shardshuffle=False),
        webdataset.WebDataset(urls, shardshuffle=False).decode(),
        strict=True,
    ):
        number = int(one["json"]["id"].rsplit(" ", 1)[1])
        assert raw["jpg"] == picture(number)
        assert one["__key__"] == one["json"]["id"]
        assert names[one["cls"]] == CLASSES[number % 3]
        assert one["txt"] == f'a "{number}",\n图 {number}'
        assert one["json"]["uid"] == f"{number:032x}"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pictures_keep_their_kind(tmp_path, kind):
    base(tmp_path / "in", kind)
    export(tmp_path / "in", tmp_path / "tars", "webdataset", shard_size=9)
    with tarfile.open(tmp_path / "tars/test/00000.tar") as tar:
        assert f"test/001/ü 4.{kind.lower()}" in tar.getnames()
    export(tmp_path / "in", tmp_path / "tables", "parquet")
    table = pq.read_table(tmp_path / "tables/test/00000.parquet")
    assert table[kind.lower()].to_pylist() == [picture(i, kind) for i in (4, 5, 6)] or table.num_rows == 3
    (tmp_path / "in/test/4.jpg").write_bytes(picture(9))
    text = (tmp_path / "in/test/metadata.jsonl").read_text().replace(f'"4.{kind.lower()}"', '"4.jpg"')
    (tmp_path / "in/test/metadata.jsonl").write_text(text)
    export(tmp_path / "in", tmp_path / "mixed", "parquet")
    assert "image" in pq.read_schema(tmp_path / "mixed/test/00000.parquet").names


def test_parquet_is_contiguous_with_pictures_stored_as_they_are(originals, tmp_path):
    export(originals / "webdataset", tmp_path / "out", "parquet", shard_size=100)
    file = pq.ParquetFile(tmp_path / "out/train/00000.parquet")
    assert file.num_row_groups == 1
    assert file.schema_arrow.names == ["key", "caption", "label", "uid", "split", "jpg"]
    codecs = {
        file.metadata.row_group(0).column(i).path_in_schema: file.metadata.row_group(0).column(i).compression
        for i in range(6)
    }
    assert codecs["jpg"] == "UNCOMPRESSED"
    assert codecs["caption"] == "ZSTD"


def test_a_saved_dataset_describes_itself(originals):
    root = originals / "hf_disk"
    assert json.loads((root / "dataset_dict.json").read_text()) == {"splits": ["test", "train"]}
    state = json.loads((root / "train/state.json").read_text())
    assert [f["filename"] for f in state["_data_files"]] == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    info = json.loads((root / "train/dataset_info.json").read_text())
    assert info["splits"]["train"]["num_examples"] == 4
    assert info["features"]["label"] == {"names": samples(originals / "jsonl")[0].categories(), "_type": "ClassLabel"}
    assert info["features"]["image"] == {"_type": "Image"}


def test_boxes_and_several_labels_go_where_there_is_a_place_for_them(tmp_path):
    source = coco(tmp_path / "source")
    boxes = {"bbox": [[0, 1, 3, 4], [1, 1, 3, 4], [2, 1, 3, 4]], "category": ["cat", "dog", "cat"]}
    for format in OURS:
        written = export(source, tmp_path / format, format, shard_size=9)
        told = " ".join(written.notes)
        assert "4 polygon annotations" in told
        assert ("8 boxes" in told or "12 boxes" in told) == (format == "image_folder"), told
        if format != "image_folder":
            assert {s.labels for s in samples(tmp_path / format)[1].values()} == {("cat", "dog")}
            assert samples(tmp_path / format)[1]["0"].caption == "text 0"
    with tarfile.open(tmp_path / "webdataset/train/00000.tar") as tar:
        found = json.load(tar.extractfile("0.json"))["objects"]
    assert order(found) == order(boxes)
    line = json.loads((tmp_path / "jsonl/train/metadata.jsonl").read_text().splitlines()[0])
    assert order(line["objects"]) == order(boxes)
    row = pq.read_table(tmp_path / "parquet/train/00000.parquet").to_pylist()[0]
    assert order(row["objects"]) == order(boxes)


@pytest.mark.parametrize("format", ["webdataset", "parquet", "hf_disk", "csv", "jsonl"])
def test_boxes_come_back_into_an_annotated_format(tmp_path, format):
    from datumaro import Dataset

    export(coco(tmp_path / "source"), tmp_path / "there", format)
    written = export(tmp_path / "there", tmp_path / "back", "coco_instances")
    again = Dataset.import_from(str(tmp_path / "back"), "coco_instances")
    names = [label.name for label in next(iter(again.categories().values()))]
    assert sorted(names) == ["cat", "dog"]
    assert {item.id for item in again} == set("0123")
    for item in again:
        found = sorted((a.get_bbox(), names[a.label]) for a in item.annotations)
        shift = int(item.id) % 2
        assert found == [([n, 1, 3, 4], ("cat", "dog")[(n + shift) % 2]) for n in range(3)]
    told = " ".join(written.notes)
    assert "caption annotations" in told
    assert "label" not in told.replace("label and uid", "").replace("caption, label", ""), "a box says its class"


def test_boxes_of_numbered_classes_are_named_and_give_the_labels(tmp_path):
    names = {"feature": {"names": ["ape", "bee"], "_type": "ClassLabel"}, "_type": "Sequence"}
    features = {"objects": {"feature": {"bbox": {}, "category": names["feature"]}, "_type": "Sequence"}}
    for number, one in enumerate((features, {"objects": {"bbox": {}, "category": names}})):
        table = pa.table(
            {
                "png": [picture(i, "PNG") for i in range(2)],
                "objects": [{"bbox": [[1, 2, 3, 4], [0, 0, 1, 1]], "category": [1, 0]}, {"bbox": [], "category": []}],
            }
        )
        (tmp_path / str(number)).mkdir()
        about = {"huggingface": json.dumps({"info": {"features": one}})}
        pq.write_table(table.replace_schema_metadata(about), tmp_path / str(number) / "0.parquet")
        reader, found = samples(tmp_path / str(number))
        assert [s.labels for s in found.values()] == [("ape", "bee"), ()]
        assert [s.objects for s in found.values()] == [
            {"bbox": [[1, 2, 3, 4], [0, 0, 1, 1]], "category": ["bee", "ape"]},
            None,
        ]
        assert reader.categories() == ["ape", "bee"]


@pytest.mark.parametrize(
    ("value", "boxes"),
    [
        (None, None),
        ("{", None),
        ("[" * 100_000, None),
        ({"bbox": "x"}, None),
        ({"bbox": [[1, 2, 3]]}, None),
        ({"bbox": [[1, 2, 3, 10**400]]}, None),
        ({"bbox": [[1, 2, 3, float("nan")]]}, None),
        ({"bbox": [[1, 2, 3, 4]]}, {"bbox": [[1, 2, 3, 4]], "category": [""]}),
        ('{"bbox": [[1, 2, 3, 4]], "label": [1]}', {"bbox": [[1, 2, 3, 4]], "category": ["b"]}),
        ([{"bbox": [1, 2, 3, 4], "category": "x"}, {}, 7], {"bbox": [[1, 2, 3, 4]], "category": ["x"]}),
        ({"bbox": [[1, 2, 3, 4]], "category": [9, 1]}, {"bbox": [[1, 2, 3, 4]], "category": ["9"]}),
    ],
)
def test_boxes_are_read_in_their_usual_forms_and_nonsense_is_none(value, boxes):
    assert boxes_of(value, ["a", "b"]) == boxes


def order(objects):
    return sorted(zip(objects["bbox"], objects["category"], strict=True))


@pytest.mark.parametrize("format", ["voc", "datumaro", "cvat", "coco_instances", "yolo"])
def test_what_datumaro_writes_holds_the_boxes_and_says_what_it_does_not(tmp_path, format):
    from datumaro import Dataset

    written = export(coco(tmp_path / "source"), tmp_path / "out", format, keep=lambda i: i != 2)
    again = Dataset.import_from(str(tmp_path / "out"), format)
    assert {item.id for item in again} == {"0", "1", "3"}
    found = {item.id: [a.get_bbox() for a in item.annotations if a.type.name == "bbox"] for item in again}
    assert all(np.allclose(sorted(boxes)[:2], [[0, 1, 3, 4], [1, 1, 3, 4]], atol=1.01) for boxes in found.values())
    told = " ".join(written.notes)
    assert ("caption" in told) == (format != "datumaro"), told
    assert ("polygon" in told) == (format in ("voc", "yolo")), told


@pytest.mark.parametrize("format", [*OURS, *ANNOTATED])
def test_a_conversion_killed_at_any_step_leaves_the_target_absent_or_whole(tmp_path, format, killed_everywhere):
    source, target = coco(tmp_path / "source"), tmp_path / "work" / "out"
    target.parent.mkdir()
    samples(source)  # imports are done once, here
    choose_writer("coco", format)

    def check():
        assert not target.exists() or len(samples(target)[1]) == 4

    assert killed_everywhere(target.parent, lambda: export(source, target, format), check) >= 4
    assert [p.name for p in target.parent.iterdir()] == ["out"], "left-overs of the dead go"
    assert len(samples(target)[1]) == 4


@pytest.mark.parametrize("format", [*OURS, *ANNOTATED])
def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(tmp_path, format):
    """The limit of a file's size stands for a full disk: writes fail in every library in the same way."""
    source, target = coco(tmp_path / "source"), tmp_path / "work" / "out"
    target.parent.mkdir()
    samples(source)
    choose_writer("coco", format)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
            export(source, target, format)
        except EspalierError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    assert "cannot be written" in said
    assert "File too large" in said
    assert [*target.parent.iterdir()] == []


def test_the_kind_of_a_picture_is_told_by_its_bytes_whatever_its_size():
    kinds = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm"}
    assert {kind: extension_of(picture(1, kind)) for kind in kinds} == kinds
    huge = bytearray(picture(1, "BMP"))
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    assert extension_of(bytes(huge)) == "bmp"
    with pytest.raises(EspalierError, match="cannot be read any more"):
        extension_of(b"no picture")


def test_two_classes_that_are_one_folder_are_refused(tmp_path):
    base(tmp_path / "in")
    path = tmp_path / "in/test/metadata.jsonl"
    path.write_text(path.read_text().replace('"ape"', '"x/y"').replace('"zebra"', '"x_y"'))
    with pytest.raises(EspalierError, match="one folder, x_y"):
        export(tmp_path / "in", tmp_path / "out", "image_folder")
    assert not (tmp_path / "out").exists()


def test_links_are_made_where_pictures_are_files_and_refused_where_they_are_packed(originals, tmp_path):
    written = export(originals / "jsonl", tmp_path / "out", "image_folder", link=True)
    sources = {read_bytes(s.uri): s.uri for s in samples(originals / "jsonl")[1].values()}
    for file in written.files.values():
        assert (tmp_path / "out" / file).samefile(sources[(tmp_path / "out" / file).read_bytes()])
    for format in ("webdataset", "parquet", "hf_disk"):
        with pytest.raises(EspalierError, match="--copy"):
            export(originals / "jsonl", tmp_path / format, format, link=True)
    with pytest.raises(EspalierError, match="--copy"):
        export(originals / "webdataset", tmp_path / "csv", "csv", link=True)


def test_texts_become_every_format_that_has_a_place_for_them(tmp_path):
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"text": f"t {i}", "key": f"k/{i}"}) + "\n" for i in range(5))
    )
    for format in ("webdataset", "parquet", "hf_disk", "csv", "jsonl"):
        export(tmp_path / "texts.jsonl", tmp_path / format, format)
        found = samples(tmp_path / format / ("texts.jsonl" if format == "jsonl" else ""))[1]
        assert {s.sample_id: s.caption for s in found.values()} == {f"k/{i}": f"t {i}" for i in range(5)}, format
        assert {s.uri for s in found.values()} == {""}
        assert {s.error for s in found.values()} == {"no picture in the sample" if format == "webdataset" else None}
    with pytest.raises(EspalierError, match=r"no picture.*jsonl"):
        export(tmp_path / "texts.jsonl", tmp_path / "folder", "image_folder")


def wide(root):
    """A table of img2dataset's kind with columns of many types, in two files of several row groups."""
    root.mkdir()
    for file in range(2):
        rows = range(file * 6, file * 6 + 6)
        table = {
            "key": [f"k{11 - i:02}" for i in rows],
            "caption": [f"t{i}" for i in rows],
            "url": [f"http://x/{i}" if i else None for i in rows],
            "width": pa.array(list(rows), pa.int16()),
            "score": [float("nan") if i == 3 else i / 4 for i in rows],
            "nsfw": [i % 2 == 0 for i in rows],
            "tags": [["a"] * (i % 3) for i in rows],
            "exif": [{"iso": i} for i in rows],
            "thumbnail": [b"x"] * 6,
            "file_name": ["taken"] * 6,
            "png": [picture(i, "PNG") for i in rows],
        }
        pq.write_table(pa.table(table), root / f"{file}.parquet", row_group_size=2)
    return root


def test_other_columns_of_a_table_go_along(tmp_path):
    source = wide(tmp_path / "source")
    whole = pa.concat_tables([pq.read_table(source / f"{i}.parquet") for i in range(2)])
    wanted = whole.select(["url", "width", "score", "nsfw", "tags", "exif"]).to_pylist()
    kept = [i for i in range(12) if i not in (1, 4, 9)]
    by_key = {f"k{11 - i:02}": {**wanted[i], "score": None if i == 3 else wanted[i]["score"]} for i in kept}
    for format in ("webdataset", "jsonl", "csv", "hf_disk"):
        written = export(source, tmp_path / format, format, keep=lambda i: 11 - i in kept, shard_size=4)
        assert "Columns that stay behind: thumbnail, file_name." in written.notes
    found = {}
    for path in sorted((tmp_path / "webdataset").glob("*.tar")):
        with tarfile.open(path) as tar:
            found |= {m.name[:-5]: json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")}
    assert {key: {name: about[name] for name in by_key[key]} for key, about in found.items()} == by_key
    lines = [json.loads(line) for line in (tmp_path / "jsonl/metadata.jsonl").read_text().splitlines()]
    assert {one["id"]: {name: one[name] for name in by_key[one["id"]]} for one in lines} == by_key
    with (tmp_path / "csv/metadata.csv").open(newline="") as file:
        cells = {row["id"]: row for row in csv.DictReader(file)}
    assert (cells["k08"]["width"], cells["k08"]["tags"], cells["k08"]["exif"]) == ("3", "[]", '{"iso": 3}')
    assert cells["k08"]["score"] == ""
    files = sorted((tmp_path / "hf_disk").glob("*.arrow"))
    arrow = pa.concat_tables([pa.ipc.open_stream(str(f)).read_all() for f in files]).to_pylist()
    assert {row["id"]: (row["url"], row["width"], row["nsfw"], row["tags"]) for row in arrow} == {
        key: (row["url"], row["width"], row["nsfw"], json.dumps(row["tags"])) for key, row in by_key.items()
    }
    export(tmp_path / "hf_disk", tmp_path / "back", "parquet", shard_size=100)
    back = pq.read_table(tmp_path / "back/00000.parquet")
    assert back.schema.field("width").type == pa.int16()
    assert back.schema.field("score").type == pa.float64()
    assert {row["key"]: row["width"] for row in back.to_pylist()} == {key: row["width"] for key, row in by_key.items()}


def test_other_columns_of_a_list_go_along_as_texts(tmp_path):
    base(tmp_path / "in")
    for subset in ("train", "test"):
        path = tmp_path / "in" / subset / "metadata.jsonl"
        rows = [json.loads(line) | {"licence": "CC", "n": [1, {"a": 2}]} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = export(tmp_path / "in", tmp_path / "out", "parquet")
    table = pq.read_table(tmp_path / "out/test/00000.parquet")
    assert table["licence"].to_pylist() == ["CC"] * 3
    assert table["n"].to_pylist() == ['[1, {"a": 2}]'] * 3
    assert written.notes == ()
    export(tmp_path / "in", tmp_path / "csv", "csv")
    again = export(tmp_path / "csv", tmp_path / "tars", "webdataset", shard_size=9)
    with tarfile.open(tmp_path / "tars/train/00000.tar") as tar:
        about = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")]
    assert [(one["licence"], one["n"]) for one in about] == [("CC", '[1, {"a": 2}]')] * 4
    assert again.notes == ()


def test_a_column_that_is_of_two_types_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    for i, value in enumerate((1, "one")):
        rows = {"key": [f"{i}"], "png": [picture(i, "PNG")], "n": [value]}
        pq.write_table(pa.table(rows), tmp_path / f"in/{i}.parquet")
    with pytest.raises(EspalierError, match="The column n is int64 in one file"):
        export(tmp_path / "in", tmp_path / "out", "hf_disk")
    assert not (tmp_path / "out").exists()


def test_two_subsets_that_are_one_folder_are_refused(tmp_path):
    rows = [{"file_name": f"{i}.jpg", "split": name, "label": "a"} for i, name in enumerate(("x/y", "x_y"))]
    (tmp_path / "in").mkdir()
    for i in range(2):
        (tmp_path / f"in/{i}.jpg").write_bytes(picture(i))
    (tmp_path / "in/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for format in set(OURS) - {"jsonl"}:
        with pytest.raises(EspalierError, match="one folder, x_y"):
            export(tmp_path / "in", tmp_path / format, format)


def test_ids_that_would_climb_out_stay_inside(tmp_path):
    ids = ["../../up", "/etc/x", "a//b", ".hidden", "x" * 300, "a.b", "a_b", "c/..", "nul\0"]
    rows = {"key": ids, "jpg": [picture(i) for i in range(len(ids))], "label": ["../l"] * len(ids)}
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "in/0.parquet")
    before = {p for p in tmp_path.rglob("*") if p.is_relative_to(tmp_path / "in")}
    for format in ("webdataset", "image_folder", "csv", "hf_disk"):
        written = export(tmp_path / "in", tmp_path / format, format)
        found = samples(tmp_path / format)[1]
        assert len(found) == len(ids), format
        assert sorted(read_bytes(s.uri) for s in found.values()) == sorted(rows["jpg"])
        assert not any(s.error for s in found.values())
        assert written.notes or format == "hf_disk"
    assert {p.name for p in tmp_path.iterdir()} == {"in", "webdataset", "image_folder", "csv", "hf_disk"}
    assert before == {p for p in tmp_path.rglob("*") if p.is_relative_to(tmp_path / "in")}


@given(st.lists(st.text("ab./_", min_size=1, max_size=6), unique=True, max_size=12))
def test_keys_of_tars_are_distinct_safe_and_read_back_as_written(ids):
    keys = tar_keys(ids)
    assert len(set(keys.values())) == len(ids)
    for key in keys.values():
        assert split_member(f"{key}.jpg") == (key, "jpg")
        assert not {"", ".", ".."} & set(key.split("/"))


def test_keys_stay_as_they_are_where_a_tar_can_hold_them():
    ids = ["00000/000000123", "v1.2/ä b", "train/cat/1.jpg", "a.b", "a_b", "x.png", "x.jpg"]
    assert list(tar_keys(ids).values())[:3] == ["00000/000000123", "v1.2/ä b", "train/cat/1"]
    assert tar_keys(ids)["x.png"] == "x_png"


def test_an_unknown_format_is_refused_with_all_that_are_known():
    with pytest.raises(UsageError, match=r"No format is 'webdatset'.*Did you mean webdataset") as error:
        choose_writer("coco", "webdatset")
    assert all(name in str(error.value) for name in writable())
    with pytest.raises(UsageError, match=r"read and not written.*parquet"):
        choose_writer("coco", "ade20k2017")
