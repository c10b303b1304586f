"""Parquet, saved Hugging Face datasets and lists: which column means what, errors kept, cells read in place."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files import cells
from espalier.io.files.blobs import BlobError, read_bytes, stat_blob
from espalier.io.formats.read.columns import contained
from espalier.io.formats.read.detect import open_reader
from espalier.io.landing.cards import Card
from espalier.io.scanning.scan import scan


def picture(seed=0):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def read(uri, size=3, **options):
    reader = open_reader(Card("set", str(uri), None, options))
    return reader, [sample for batch in reader.batches(size) for sample in batch]


def test_img2dataset_parquet_keeps_key_caption_status_and_bytes(tmp_path):
    pictures = [picture(n) for n in range(3)]
    table = pa.table(
        {
            "url": ["u0", "u1", "u2", "u3"],
            "key": ["00000/000000000", "1.2.3", "名", "gone"],
            "caption": ["a", "", None, "d"],
            "status": ["success", "success", "success", "failed_to_download"],
            "error_message": [None, None, None, "HTTP 404"],
            "uid": ["f" * 32, None, "", None],
            "jpg": pa.array([*pictures, None], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "00000.parquet")
    reader, samples = read(tmp_path)
    assert reader.format == "parquet"
    assert [(s.sample_id, s.caption, s.uid, s.error) for s in samples] == [
        ("00000/000000000", "a", "f" * 32, None),
        ("1.2.3", "", None, None),
        ("名", None, None, None),
        ("gone", "d", None, "failed_to_download: HTTP 404"),
    ]
    assert [read_bytes(s.uri) for s in samples[:3]] == pictures


def test_hugging_face_parquet_gives_class_names_subsets_and_numbered_ids(tmp_path):
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, seeds in (("train", (1, 2)), ("test", (3,))):
        rows = [{"bytes": picture(n), "path": f"{n}.png"} for n in seeds]
        table = pa.table({"image": pa.array(rows, struct), "label": pa.array([n % 2 for n in seeds])})
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    reader, samples = read(tmp_path)
    assert [(s.sample_id, s.subset, s.labels) for s in samples] == [
        ("data/test-00000-of-00001/000000000", "test", ("dog",)),
        ("data/train-00000-of-00001/000000000", "train", ("dog",)),
        ("data/train-00000-of-00001/000000001", "train", ("cat",)),
    ]
    assert [read_bytes(s.uri) for s in samples] == [picture(3), picture(1), picture(2)]
    assert reader.categories() == ["cat", "dog"]


def test_a_saved_hugging_face_dataset_is_read_in_place(tmp_path):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    schema = pa.schema([("image", struct), ("label", pa.int64())], {"huggingface": json.dumps(features)})
    for split, seeds in (("train", (1, 2)), ("test", (3,))):
        folder = tmp_path / split
        folder.mkdir()
        rows = [{"bytes": picture(n), "path": None} for n in seeds]
        table = pa.Table.from_arrays([pa.array(rows, struct), pa.array([n % 2 for n in seeds])], schema=schema)
        with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as out, pa.ipc.new_stream(out, schema) as to:
            to.write_table(table, max_chunksize=1)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "x"}
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    reader, samples = read(tmp_path)
    assert reader.format == "hf_disk"
    assert [(s.sample_id, s.subset, s.labels) for s in samples] == [
        ("train/data-00000-of-00001/000000000", "train", ("dog",)),
        ("train/data-00000-of-00001/000000001", "train", ("cat",)),
        ("test/data-00000-of-00001/000000000", "test", ("dog",)),
    ]
    assert [read_bytes(s.uri) for s in samples] == [picture(1), picture(2), picture(3)]
    (tmp_path / "train/state.json").write_text(json.dumps({"_data_files": [{"filename": "../../x.arrow"}]}))
    with pytest.raises(EspalierError, match="outside its folder"):
        read(tmp_path)


def test_img2dataset_files_are_found_by_their_key(tmp_path):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000/000.png").write_bytes(picture(4))
    (tmp_path / "00000/000.json").write_text("{}")
    table = pa.table({"key": ["000", "001", "../000"], "caption": ["a", "b", "c"], "status": ["success"] * 3})
    pq.write_table(table, tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    _, samples = read(tmp_path)
    absent = "the picture's file is not there"
    assert [(s.sample_id, s.error) for s in samples] == [("000", None), ("001", absent), ("../000", absent)]
    assert read_bytes(samples[0].uri) == picture(4)


def test_a_table_of_texts_is_a_set_of_texts(tmp_path):
    pq.write_table(pa.table({"TEXT": ["one", "", None], "URL": ["a", "b", "c"]}), tmp_path / "meta.parquet")
    reader, samples = read(tmp_path)
    assert [(s.sample_id, s.caption, s.uri, s.error) for s in samples] == [
        ("meta/000000000", "one", "", None),
        ("meta/000000001", "", "", "the row holds no text"),
        ("meta/000000002", None, "", "the row holds no text"),
    ]
    rows = pa.Table.from_batches(scan(reader, threads=1)).to_pylist()
    assert rows[0]["error"] is None
    assert rows[0]["n_bytes"] == 3
    assert rows[0]["grid"] is None


def test_columns_can_be_named_and_a_wrong_name_is_refused(tmp_path):
    pq.write_table(pa.table({"photo": pa.array([picture()]), "what": ["cat"]}), tmp_path / "x.parquet")
    _, samples = read(tmp_path, image="photo", label="what")
    assert samples[0].labels == ("cat",)
    assert read_bytes(samples[0].uri) == picture()
    with pytest.raises(EspalierError, match=r"no column of pictures.*photo, what"):
        read(tmp_path)
    with pytest.raises(UsageError, match=r"no column 'foto'.*photo, what"):
        read(tmp_path, image="foto")
    with pytest.raises(UsageError, match="no option 'picture'"):
        read(tmp_path, picture="photo")


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(EspalierError, match=r"x\.parquet is not a Parquet file"):
        read(tmp_path)


def test_cells_are_read_in_any_order_by_any_thread_also_of_large_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "WHOLE_GROUP", 10_000)
    monkeypatch.setattr(cells, "_BLOCK_BYTES", 2_000)
    values = [bytes([n % 251]) * (n % 90) for n in range(3000)]
    path = tmp_path / "x#1&.parquet"
    pq.write_table(pa.table({"a b&#": pa.array(values)}), path, row_group_size=1000)
    order = np.random.default_rng(0).permutation(300) * 10
    uris = [f"parquet:{path}#{n}&a%20b%26%23" for n in order]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read_bytes, uris)) == [values[n] for n in order]
    assert stat_blob(uris[0]) == (None, path.stat().st_mtime_ns)
    for uri, said in (
        (f"parquet:{path}#3000&a%20b%26%23", "no row 3000"),
        (f"parquet:{path}#0&b", "no column 'b'"),
        (f"parquet:{tmp_path}/absent#0&b", "no such file"),
    ):
        with pytest.raises(BlobError, match=said):
            read_bytes(uri)


def test_a_replaced_file_is_read_anew(tmp_path):
    path = tmp_path / "x.parquet"
    for value in (b"old", b"newer"):
        pq.write_table(pa.table({"a": [value]}), path)
        assert read_bytes(f"parquet:{path}#0&a") == value


def test_parquet_in_an_object_store_is_read():
    out = io.BytesIO()
    pq.write_table(pa.table({"key": ["k"], "png": [picture(8)]}), out)
    fsspec.filesystem("memory").pipe("/table-test/0.parquet", out.getvalue())
    _, samples = read("memory://table-test")
    assert read_bytes(samples[0].uri) == picture(8)


def test_a_csv_lists_paths_labels_and_captions(tmp_path):
    (tmp_path / "pics").mkdir()
    for name in ("ä b.png", "2.png"):
        (tmp_path / "pics" / name).write_bytes(picture())
    (tmp_path / "list.csv").write_text(
        '﻿path,label,caption,split\n"pics/ä b.png",cat|dog,"a, ""b""",train\npics/2.png,,,test\n../secret.png,x,,\n,,,\n'
    )
    reader, samples = read(tmp_path / "list.csv", label_separator="|")
    assert reader.format == "list"
    assert [(s.sample_id, s.subset, s.labels, s.caption) for s in samples[:2]] == [
        ("pics/ä b.png", "train", ("cat", "dog"), 'a, "b"'),
        ("pics/2.png", "test", (), ""),
    ]
    assert samples[2].error == "the path leaves the folder of the dataset; the option root names another"
    assert samples[3].error == "the row names no picture"
    assert reader.categories() == ["cat", "dog", "x"]
    assert read_bytes(samples[0].uri) == picture()


def test_a_jsonl_lists_samples_and_a_broken_line_is_a_row(tmp_path):
    lines = [{"file_name": "1.png", "label": ["b", "a", "b"], "text": ["one", "two"], "id": 7}, {"file_name": "2.png"}]
    (tmp_path / "list.jsonl").write_text("\n".join([json.dumps(lines[0]), "{oops", "", json.dumps(lines[1])]))
    _, samples = read(tmp_path / "list.jsonl")
    assert [(s.sample_id, s.labels, s.caption, s.error) for s in samples] == [
        ("7", ("b", "a"), "one\ntwo", None),
        ("000000001", (), None, "the line is no JSON object"),
        ("2.png", (), None, None),
    ]


def test_a_jsonl_of_texts_is_a_set_of_texts(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "hello"}\n{"text": "world", "key": 5}\n')
    _, samples = read(tmp_path / "t.jsonl")
    assert [(s.sample_id, s.caption) for s in samples] == [("000000000", "hello"), ("000000001", "world")]
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(EspalierError, match="holds no sample"):
        read(tmp_path / "empty.jsonl")
    (tmp_path / "latin.csv").write_bytes("path\nä.png\n".encode("latin-1"))
    with pytest.raises(EspalierError, match="is not UTF-8"):
        read(tmp_path / "latin.csv")


def test_metadata_beside_pictures_is_a_list(tmp_path):
    (tmp_path / "1.png").write_bytes(picture())
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "a"}\n')
    _, samples = read(tmp_path)
    assert [(s.sample_id, s.caption, s.uri) for s in samples] == [("1.png", "a", str(tmp_path / "1.png"))]


def test_metadata_of_each_subset_folder_is_read(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(picture())
        (tmp_path / split / "metadata.csv").write_text(f"file_name,text\n1.png,{split} one\n")
    reader, samples = read(tmp_path)
    assert reader.format == "list"
    assert [(s.sample_id, s.subset, s.caption) for s in samples] == [
        ("test/1.png", "test", "test one"),
        ("train/1.png", "train", "train one"),
    ]
    assert samples[0].uri == str(tmp_path / "test/1.png")


def test_paths_cannot_leave_their_root(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    assert contained(str(root), "a/../b.png") == (str(root / "b.png"), None)
    for path in ("../x", "/etc/passwd", "link/x", "a\0b", "http://host/x", str(tmp_path / "rootx/y")):
        uri, error = contained(str(root), path)
        assert uri == ""
        assert error
    assert contained("s3://bucket/set", "a.png") == ("s3://bucket/set/a.png", None)
    assert contained("s3://bucket/set", "../a.png")[1]
    assert contained("s3://bucket/set", "s3://bucket/settings/a.png")[1]


def test_what_could_be_several_formats_is_refused_with_the_candidates(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    (tmp_path / "1.png").write_bytes(picture())
    with pytest.raises(UsageError, match="could be several formats: parquet, image_folder"):
        read(tmp_path)


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"no format goes by '\.zip'"):
        read(tmp_path / "x.zip")
