"""The scan: one row a sample whatever its file holds, the same rows for any number of threads."""

import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from espalier.core.errors import EspalierError
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.image_folder import ImageFolder
from espalier.io.landing.cards import Card
from espalier.io.scanning.previous import FACTS, previous_scan
from espalier.io.scanning.scan import GRID_LENGTH, RAW_SCHEMA, SampleIds, scan
from espalier.io.warehouse import Draft, Meta, Table, Warehouse


def picture(path, size=(40, 30), colour=(200, 30, 60), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 60, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise + np.array(colour, dtype=np.uint8) // 2).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for n in range(40):
        picture(root / f"class{n % 3}" / f"{n:02}.png", (20 + n, 30))
    exif = Image.Exif()
    exif[274] = 6
    picture(root / "class0/turned.jpg", (40, 30), exif=exif)
    whole = picture(root / "class0/whole.jpg", (64, 64)).read_bytes()
    (root / "class1/truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "class1/empty.jpg").touch()
    (root / "class1/text.jpg").write_text("<html></html>")
    return root


@pytest.fixture
def store(tmp_path):
    """Store rows as a ``raw_dataset`` and give their table."""

    def stored(table):
        staged = Warehouse(tmp_path / "warehouse").stage(Draft(table), Meta("raw_dataset", "set", "", "1", {}, {}))
        staged.commit()
        return Table(staged.target)

    return stored


def rows(reader, **options):
    batches = list(scan(reader, threads=options.pop("threads", 2), **options))
    return pa.Table.from_batches(batches, RAW_SCHEMA)


def reader(folder):
    return ImageFolder(Card("set", str(folder)))


class Listed:
    """A reader of given samples."""

    format = "listed"

    def __init__(self, samples):
        self.samples = samples

    def batches(self, size):
        for start in range(0, len(self.samples), size):
            yield self.samples[start : start + size]

    def categories(self):
        return []


def test_every_file_is_a_row_and_the_unreadable_say_why(folder):
    by_id = {row["sample_id"]: row for row in rows(reader(folder)).to_pylist()}
    assert len(by_id) == 45
    assert {key for key, row in by_id.items() if row["error"]} == {
        "class1/truncated.jpg",
        "class1/empty.jpg",
        "class1/text.jpg",
    }
    for name in ("truncated", "empty", "text"):
        row = by_id[f"class1/{name}.jpg"]
        assert row["grid"] is None
        assert row["width"] is None
        assert row["sha256"] == hashlib.sha256((folder / f"class1/{name}.jpg").read_bytes()).hexdigest()


def test_a_row_holds_digest_size_time_and_displayed_size(folder):
    by_id = {row["sample_id"]: row for row in rows(reader(folder)).to_pylist()}
    row, path = by_id["class0/turned.jpg"], folder / "class0/turned.jpg"
    assert (row["width"], row["height"], row["orientation"]) == (30, 40, 6)
    assert (row["n_bytes"], row["mtime_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["uid"] == row["sha256"][:32]
    assert (row["labels"], row["subset"], row["caption"]) == (["class0"], "", None)
    assert len(row["grid"]) == GRID_LENGTH
    assert len(row["thumb"]) == 32 * 32


def test_threads_and_batch_size_change_nothing(folder):
    tables = [rows(reader(folder), threads=t, batch_size=b) for t, b in ((1, 1000), (2, 7), (5, 1))]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_previous_rows_are_found_by_uri_in_flat_memory(folder, store):
    first = rows(reader(folder))
    with previous_scan(store(first).path) as previous:
        assert previous.codes.nbytes + previous.rows.nbytes == 16 * 42, "three files could not be read"
        uris = first["uri"].to_pylist()
        found = previous.find([*uris, "/elsewhere.png", ""])
        assert previous.find(["/elsewhere.png"]) == previous.find([]) == {}
    for row in first.to_pylist():
        if row["error"]:
            assert row["uri"] not in found
            continue
        known = found[row["uri"]]
        assert known["grid"].tolist() == row["grid"]
        assert known["thumb"].tolist() == row["thumb"]
        assert {name: row[name] for name in FACTS} == {name: known[name] for name in FACTS}


def test_previous_rows_of_no_readable_file_are_none(folder, store):
    none = rows(reader(folder)).filter(pc.field("sample_id") == "class1/empty.jpg")
    with previous_scan(store(none).path) as previous:
        assert previous.find(none["uri"].to_pylist()) == {}


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_only_the_rows_between_two_are_read_and_refused_ones_are_errors(folder, batch_size):
    whole = rows(reader(folder))
    part = rows(reader(folder), batch_size=batch_size, start=5, stop=20, refused={4: "no", 7: "not this one"})
    expected = whole.slice(5, 15).to_pylist()
    found = part.to_pylist()
    assert found[2]["error"] == "not this one"
    assert found[2]["sha256"] is None
    assert found[:2] + found[3:] == expected[:2] + expected[3:]
    assert len(rows(reader(folder), batch_size=batch_size, start=len(whole))) == 0


def test_an_unchanged_file_is_not_read_again(folder, store, monkeypatch):
    first = rows(reader(folder))
    (folder / "class0/new.png").write_bytes((folder / "class0/00.png").read_bytes())
    os.utime(folder / "class0/03.png", ns=(5, 5))
    read = []
    import espalier.io.scanning.scan as module

    honest = module.read_blob
    monkeypatch.setattr(module, "read_blob", lambda uri: read.append(uri) or honest(uri))
    with previous_scan(store(first).path) as previous:
        second = rows(reader(folder), previous=previous)
    assert {uri.rsplit("/", 1)[1] for uri in read} == {
        "new.png",
        "03.png",
        "truncated.jpg",
        "empty.jpg",
        "text.jpg",
    }
    monkeypatch.undo()
    assert second.equals(rows(reader(folder)))


def test_a_file_that_vanishes_is_a_row(tmp_path):
    picture(tmp_path / "a.png")
    table = rows(Listed([Sample("a", "", str(tmp_path / "a.png")), Sample("b", "", str(tmp_path / "b.png"))]))
    assert table["error"].to_pylist() == [None, "there is no such file"]


def test_a_file_that_changes_while_it_is_read_is_a_row(tmp_path, monkeypatch):
    path = picture(tmp_path / "a.png")
    honest = os.pread

    def meddle(*args):
        data = honest(*args)
        with path.open("ab") as out:
            out.write(b"more")
        return data

    monkeypatch.setattr("espalier.io.files.blobs.os.pread", meddle)
    table = rows(Listed([Sample("a", "", str(path))]))
    assert table["error"].to_pylist() == ["the file changed while it was read"]


def test_a_repeated_or_reused_id_is_an_error_row_under_an_id_of_its_own(tmp_path):
    uri = str(picture(tmp_path / "a.png"))
    samples = [Sample(str(n % 50), "", uri, caption=f"{n}") for n in range(60)]
    table = rows(Listed(samples), batch_size=7)
    ids = table["sample_id"].to_pylist()
    assert len(set(ids)) == 60
    assert ids[50:52] == ["0#repeat-50", "1#repeat-51"]
    assert table["error"].to_pylist()[:50] == [None] * 50
    assert table["error"].to_pylist()[50] == "the sample id '0' is there already"
    assert table["caption"].to_pylist() == [f"{n}" for n in range(60)]


def test_repeats_are_found_as_a_set_finds_them_whatever_the_batches():
    rng = np.random.default_rng(3)
    ids = [str(n) for n in rng.integers(0, 3000, 5000)]
    seen, known, found = SampleIds(), set(), []
    start = 0
    while start < len(ids):
        size = int(rng.integers(1, 400))
        found += [s.error is not None for s in seen.check([Sample(i, "", "") for i in ids[start : start + size]])]
        start += size
    expected = []
    for one in ids:
        expected.append(one in known)
        known.add(one)
    assert found == expected


def test_an_error_of_the_dataset_itself_is_kept():
    table = rows(Listed([Sample("a", "train", "", ("x",), "text", "u" * 32, "failed_to_download")]))
    row = table.to_pylist()[0]
    assert (row["error"], row["uid"], row["subset"], row["labels"]) == (
        "failed_to_download",
        "u" * 32,
        "train",
        ["x"],
    )
    assert row["sha256"] is None


def test_a_file_beyond_the_limit_is_a_row(tmp_path, monkeypatch):
    path = picture(tmp_path / "a.png")
    monkeypatch.setattr("espalier.io.scanning.scan.read_blob.__kwdefaults__", {"limit": 10, "digest": True})
    monkeypatch.setattr("espalier.io.files.blobs._CHUNK", 16)
    row = rows(Listed([Sample("a", "", str(path))])).to_pylist()[0]
    assert "more than the limit" in row["error"]
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_text_that_is_no_unicode_is_a_row(tmp_path):
    """JSON may hold half a surrogate pair, which no column of text can."""
    uri = str(picture(tmp_path / "a.png"))
    table = rows(Listed([Sample("a\ud800", "", uri, ("x",), "b\udc00"), Sample("b", "", uri)]))
    assert table["sample_id"].to_pylist() == ["a\\ud800", "b"]
    assert table["error"].to_pylist() == ["a text of it is not Unicode", None]


def test_an_id_with_a_line_break_is_an_error_row(tmp_path):
    """kept.txt holds one id a line: such an id would turn into two."""
    uri = str(picture(tmp_path / "a.png"))
    assert "line break" in rows(Listed([Sample("a\nb", "", uri)]))["error"][0].as_py()


def test_a_text_without_a_picture_is_a_row_and_nothing_at_all_an_error():
    table = rows(Listed([Sample("a", "", "", (), "some words"), Sample("b", "", "")]))
    assert table["error"].to_pylist() == [None, "there is neither a picture nor a text"]
    assert table["sha256"].to_pylist()[0] == hashlib.sha256(b"some words").hexdigest()


def test_an_empty_dataset_raises(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(EspalierError, match="holds no sample"):
        rows(reader(tmp_path / "set"))
