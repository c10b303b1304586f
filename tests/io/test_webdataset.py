"""WebDataset tars: keys as the webdataset package forms them, places kept, hostile and damaged archives refused."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import read_bytes
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.read.tar_members import BadTar, members
from espalier.io.formats.read.webdataset import shard_subset
from espalier.io.landing.cards import Card
from espalier.io.scanning.scan import scan


def picture(seed=0, format="JPEG"):
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, format)
    return out.getvalue()


def tar(path, content, format=tarfile.USTAR_FORMAT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as out:
        for name, data in content:
            info = tarfile.TarInfo(name)
            if isinstance(data, tarfile.TarInfo):
                info = data
                out.addfile(info)
                continue
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def read(uri, size=3, **options):
    reader = open_reader(Card("set", str(uri), None, options))
    assert reader.format == "webdataset"
    return reader, [sample for batch in reader.batches(size) for sample in batch]


def test_a_sample_is_a_run_of_members_with_one_key(tmp_path):
    first, second = picture(1), picture(2, "WEBP")
    tar(
        tmp_path / "0.tar",
        [
            ("a/000.jpg", first),
            ("a/000.txt", "naïve 名".encode()),
            ("a/000.cls", b"7\n"),
            ("a/000.json", json.dumps({"uid": "f" * 32, "caption": "not this"}).encode()),
            ("a/001.json", json.dumps({"caption": "from json", "label": "cat"}).encode()),
            ("a/001.webp", second),
            ("readme", b"no dot, no sample"),
        ],
    )
    reader, samples = read(tmp_path)
    assert [(s.sample_id, s.caption, s.labels, s.uid, s.error) for s in samples] == [
        ("a/000", "naïve 名", ("7",), "f" * 32, None),
        ("a/001", "from json", ("cat",), None, None),
    ]
    assert [read_bytes(s.uri) for s in samples] == [first, second]
    assert reader.categories() == ["7", "cat"]


def test_keys_with_dots_split_as_the_webdataset_package_splits_them(tmp_path):
    tar(
        tmp_path / "0.tar",
        [("x.y/k.left.jpg", picture()), ("x.y/k.right.jpg", picture()), ("x.y/l.seg.PNG", picture())],
    )
    _, samples = read(tmp_path)
    assert samples[0].sample_id == "x.y/k"
    assert "several pictures in the sample (.left.jpg, .right.jpg)" in samples[0].error
    assert (samples[1].sample_id, samples[1].error) == ("x.y/l", None)
    _, samples = read(tmp_path, image="left.jpg")
    assert samples[0].error is None
    assert samples[1].error == "no field .left.jpg in the sample"


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_where_tarfile_says_in_every_tar_dialect(tmp_path, format):
    long = "d" * 90 + "/" + "n" * 40
    longer = "/".join(["folder-näme" * 6] * 5)
    content = [(f"{long}.jpg", b"12345"), ("b.jpg", b""), ("ü.jpg", b"x" * 513)]
    if format != tarfile.USTAR_FORMAT:
        content.append((f"{longer}.jpg", b"abc"))
    path = tar(tmp_path / "x.tar", content, format)
    with path.open("rb") as file:
        found = [(m.name, m.offset, m.size) for m in members(file, path.stat().st_size)]
    with tarfile.open(path) as by_python:
        assert found == [(m.name, m.offset_data, m.size) for m in by_python]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("aé/.x", min_size=1, max_size=250).filter(lambda name: not name.endswith("/")), st.integers(0, 1500)
        ),
        max_size=8,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_tar_that_python_writes_is_walked_as_python_walks_it(content, format):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, size in content:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    size = len(out.getvalue())
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        expected = [(m.name, m.offset_data, m.size) for m in tar]
    assert [(m.name, m.offset, m.size) for m in members(out, size)] == expected


def test_a_shard_belongs_to_the_subset_that_its_folder_or_name_says():
    assert shard_subset("train/0000.tar") == "train"
    assert shard_subset("Validation/0000.tar") == "Validation"
    assert shard_subset("imagenet1k-val-0001.tar") == "val"
    assert shard_subset("/data/sets/test/0001.tar") == "test"
    assert shard_subset("trainers-0001.tar") == ""
    assert shard_subset("0001.tar") == ""


def test_shards_come_by_folder_brace_glob_and_list(tmp_path):
    for n in range(12):
        tar(tmp_path / f"{n:05}.tar", [(f"{n}.jpg", picture(n))])
    keys = [str(n) for n in range(12)]
    patterns = ["", "/{00000..00011}.tar", "/*.tar"]
    for pattern in patterns:
        assert [s.sample_id for s in read(f"{tmp_path}{pattern}")[1]] == keys
    both = f"{tmp_path}/{{00003,00001}}.tar::{tmp_path}/00002.tar"
    assert [s.sample_id for s in read(both)[1]] == ["3", "1", "2"]
    with pytest.raises(EspalierError, match="Nothing matches"):
        read(f"{tmp_path}/x*.tar")
    with pytest.raises(EspalierError, match="There is nothing at"):
        read(f"{tmp_path}/{{00011..00012}}.tar")
    with pytest.raises(EspalierError, match="more than 1000000 places"):
        read(f"{tmp_path}/{{0..9999}}{{0..9999}}.tar")


def test_keys_that_repeat_in_another_shard_are_errors_unless_the_shard_is_in_the_key(tmp_path):
    for n in range(2):
        tar(tmp_path / f"{n}.tar", [("a.jpg", picture(n))])
    reader, _ = read(tmp_path)
    rows = pa.Table.from_batches(scan(reader, threads=1)).to_pylist()
    assert [row["error"] for row in rows] == [None, "the sample id 'a' is there already"]
    assert [s.sample_id for s in read(tmp_path, shard_in_key=True)[1]] == ["0/a", "1/a"]
    with pytest.raises(UsageError, match="shard_in_key is 'yes'"):
        read(tmp_path, shard_in_key="yes")


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_hostile_members_are_errors_with_a_reason_and_nothing_is_written(tmp_path):
    path = tar(
        tmp_path / "set" / "0.tar",
        [
            ("../../evil.jpg", picture()),
            ("/etc/evil.jpg", picture()),
            ("a.jpg", link("a.jpg", "/etc/passwd")),
            ("b.jpg", link("b.jpg", "good.jpg", tarfile.LNKTYPE)),
            ("c.jpg", link("c.jpg", "", tarfile.CHRTYPE)),
            ("d.jpg", picture()),
            ("d.jpg", picture()),
            ("e.jpg", picture()),
            ("e.txt", b"\xff\xfe"),
            ("f.jpg", picture()),
            ("f.json", b"{"),
            ("g.txt", b"only a text"),
            ("good.jpg", picture()),
        ],
    )
    before = sorted(tmp_path.rglob("*"))
    _, samples = read(path.parent)
    assert {s.sample_id: s.error for s in samples} == {
        "../../evil": "the member's name climbs out of the archive",
        "/etc/evil": "the member's name climbs out of the archive",
        "a": "the picture is a link",
        "b": "the picture is a hard link",
        "c": "the picture is a device",
        "d": "two members .jpg under one key",
        "e": "the .txt is not UTF-8",
        "f": "the .json is no JSON",
        "g": "no picture in the sample",
        "good": None,
    }
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_is_refused_before_its_pixels_are_decoded(tmp_path):
    bomb = picture(format="PNG")
    bomb = bomb[:16] + (2**20).to_bytes(4) * 2 + bomb[24:]
    import zlib

    bomb = bomb[:29] + zlib.crc32(bomb[12:29]).to_bytes(4) + bomb[33:]
    reader, _ = read(tar(tmp_path / "0.tar", [("a.png", bomb)]).parent)
    row = pa.Table.from_batches(scan(reader, threads=1)).to_pylist()[0]
    assert row["error"] is not None
    assert row["grid"] is None


@pytest.mark.parametrize(
    ("cut", "said", "before"),
    [
        (lambda data: data[:2000], "ends inside the member 'b.jpg'", ["a"]),
        (lambda data: data[:1024] + b"\1" * 100 + data[1124:], "the header at byte 1024 is damaged", ["a"]),
        (lambda data: b"this is not a tar at all" * 100, "it is not a tar", []),
        (lambda data: __import__("gzip").compress(data), "it is compressed", []),
        (lambda data: data[:1100], "ends inside a header", ["a"]),
    ],
)
def test_a_damaged_shard_is_one_error_row_after_what_could_be_read(tmp_path, cut, said, before):
    path = tar(tmp_path / "0.tar", [("a.jpg", b"x" * 10), ("b.jpg", b"y" * 2000), ("c.jpg", b"z")])
    path.write_bytes(cut(path.read_bytes()))
    tar(tmp_path / "1.tar", [("d.jpg", picture())])
    _, samples = read(tmp_path)
    ids = [s.sample_id for s in samples]
    assert ids == [*before, "0.tar", "d"]
    assert said in samples[len(before)].error


def test_an_extension_header_cannot_ask_for_more_than_the_file(tmp_path):
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT)[:512])
    header[156:157] = b"L"
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(BadTar, match="more text than there can be"):
        list(members(io.BytesIO(bytes(header)), 512))


def test_tars_without_a_sample_are_an_error(tmp_path):
    tar(tmp_path / "0.tar", [])
    with pytest.raises(EspalierError, match="no tar with a sample"):
        read(tmp_path)


def test_a_file_of_class_names_names_the_numbers(tmp_path):
    tar(tmp_path / "0.tar", [("a.jpg", picture()), ("a.cls", b"1")])
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    reader, samples = read(tmp_path)
    assert samples[0].labels == ("dog",)
    assert reader.categories() == ["cat", "dog"]


def test_tars_in_an_object_store_are_indexed_and_read_in_place(tmp_path):
    data = picture(5)
    path = tar(tmp_path / "0.tar", [("a.jpg", data), ("a.txt", b"far")])
    fsspec.filesystem("memory").pipe("/wds-test/train/0.tar", path.read_bytes())
    _, samples = read("memory://wds-test")
    assert [(s.sample_id, s.subset, s.caption) for s in samples] == [("a", "train", "far")]
    assert read_bytes(samples[0].uri) == data


def test_the_batch_size_changes_nothing(tmp_path):
    tar(tmp_path / "0.tar", [(f"{n}.jpg", picture(n)) for n in range(20)])
    assert read(tmp_path, 1)[1] == read(tmp_path, 7)[1] == read(tmp_path, 100)[1]
