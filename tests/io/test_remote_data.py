"""Data behind URLs: listed, read in place and exported; a package that is missing is named in one line."""

import functools
import io
import json
import re
import sys
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import BlobError, read_blob, read_bytes, read_head
from espalier.io.files.listing import PACKAGES, walk
from espalier.io.formats.read.detect import open_reader
from espalier.io.formats.write.base import Subset
from espalier.io.formats.write.choose import choose_writer
from espalier.io.formats.write.place import stage_export
from espalier.io.landing.cards import Card, read_card
from espalier.io.landing.zone import LandingZone
from espalier.io.scanning.scan import scan


def picture(seed):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 24, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One dataset of four pictures in each of the formats that can be read from a store."""
    root = tmp_path_factory.mktemp("remote")
    for i in range(4):
        path = root / "images" / ("train" if i < 2 else "test") / f"class {i % 2}" / f"ü {i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    (root / "images" / "_SUCCESS").touch()
    (root / "tars").mkdir()
    (root / "tars/classes.txt").write_text("cat\ndog\n")
    for shard in range(2):
        with tarfile.open(root / f"tars/{shard}.tar", "w") as tar:
            for i in (2 * shard, 2 * shard + 1):
                for field, content in (("png", picture(i)), ("cls", b"1"), ("txt", f"text {i}".encode())):
                    info = tarfile.TarInfo(f"00/{i}.{field}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    (root / "tables").mkdir()
    columns = {"key": [f"k{i}" for i in range(4)], "png": [picture(i) for i in range(4)], "caption": list("abcd")}
    pq.write_table(pa.table(columns), root / "tables/0.parquet")
    (root / "lists/p").mkdir(parents=True)
    for i in range(4):
        (root / f"lists/p/{i}.png").write_bytes(picture(i))
    lines = [json.dumps({"file_name": f"p/{i}.png", "text": f"t{i}"}) for i in range(4)]
    (root / "lists/metadata.jsonl").write_text("\n".join(lines))
    return root


class Server(SimpleHTTPRequestHandler):
    """Serves folders as pages of links, and parts of files when ``parts`` is set."""

    parts = True

    def log_message(self, *_):
        pass

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not self.parts or not path.is_file():
            return super().send_head()
        content = path.read_bytes()
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        return io.BytesIO(content[first : last + 1])


@pytest.fixture(scope="module")
def web(data):
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(data)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def store(data):
    memory = fsspec.filesystem("memory")
    for path in data.rglob("*"):
        if path.is_file():
            memory.pipe(f"/remote/{path.relative_to(data)}", path.read_bytes())
    yield "memory://remote"
    memory.rm("/remote", recursive=True)


@pytest.fixture(params=["memory", "http", "file"])
def root(request, data):
    if request.param == "file":
        return f"file://{data}"
    return request.getfixturevalue({"memory": "store", "http": "web"}[request.param])


FORMATS = {"images": "image_folder", "tars": "webdataset", "tables": "parquet", "lists": "list"}


def rows_of(uri):
    reader = open_reader(Card("set", uri))
    return reader, pa.Table.from_batches(scan(reader, threads=2)).sort_by("sample_id")


def plain(rows):
    names = ("sample_id", "subset", "labels", "caption", "sha256", "n_bytes", "width", "error")
    return rows.select(names).to_pylist()


@pytest.mark.parametrize("name", FORMATS)
def test_a_store_gives_the_rows_that_a_disk_gives(root, data, name):
    reader, rows = rows_of(f"{root}/{name}")
    assert reader.format == FORMATS[name]
    assert plain(rows) == plain(rows_of(str(data / name))[1])
    assert len(rows) == 4
    assert rows["error"].null_count == 4
    assert reader.categories() == open_reader(Card("set", str(data / name))).categories()


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_kept_of_a_store_is_exported_to_a_disk(root, data, name, tmp_path):
    reader, rows = rows_of(f"{root}/{name}")
    kept = rows.take([1, 2]).select(["sample_id", "subset", "uri", "labels", "caption", "uid"])
    for format in ("", "webdataset", "jsonl"):
        subset = Subset(Card("set", f"{root}/{name}"), reader.format, kept)
        write = choose_writer(reader.format, format)[1]
        staged, _ = stage_export(
            subset, write, tmp_path / f"out-{format}", link=False, overwrite=False, progress=lambda _: None
        )
        staged.commit()
        again = rows_of(str(tmp_path / f"out-{format}"))[1]
        assert sorted(again["sha256"].to_pylist()) == sorted(rows["sha256"].to_pylist()[1:3])
        if not format:
            assert plain(again) == plain(rows)[1:3]


def test_annotations_beside_far_pictures_are_not_passed_over_in_silence(store, caplog):
    fsspec.filesystem("memory").pipe("/annotated/a.png", picture(1))
    fsspec.filesystem("memory").pipe("/annotated/instances.json", b"{}")
    assert rows_of("memory://annotated")[0].format == "image_folder"
    assert "taken for pictures only" in caplog.text


def test_a_single_file_behind_a_url_is_a_dataset(web):
    assert rows_of(f"{web}/tars/1.tar")[1]["sample_id"].to_pylist() == ["00/2", "00/3"]
    assert rows_of(f"{web}/tables/0.parquet")[1]["sample_id"].to_pylist() == ["k0", "k1", "k2", "k3"]
    assert rows_of(f"{web}/tars/{{0,1}}.tar")[1].num_rows == 4


def test_a_server_that_sends_whole_files_only_is_told_and_no_wrong_bytes_are_read(web, monkeypatch):
    rows = rows_of(f"{web}/tars")[1]
    monkeypatch.setattr(Server, "parts", False)
    with pytest.raises(BlobError, match="whole files only"):
        read_blob(rows["uri"][1].as_py())
    assert read_bytes(f"{web}/lists/p/0.png") == picture(0)


def test_names_on_the_web_are_ids_without_escapes(web):
    entries = list(walk(f"{web}/images", stat=True))
    assert [e.path for e in entries][:1] == ["test/class 0/ü 2.png"]
    assert entries[0].uri.endswith(quote("/images/test/class 0/ü 2.png"))
    assert entries[0].n_bytes == len(picture(2))


def test_links_that_lead_out_of_a_folder_on_the_web_are_not_followed(web, monkeypatch):
    names = (
        "%2e%2e/lists/p/0.png ../lists/ /lists/ .. ../ ./ train/deep/1.png %2e%2e%2fx.png http://elsewhere/2.png ok.png"
    )
    page = "".join(f'<a href="{name}">x</a>' for name in names.split()).encode()

    def listing(self, path):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        return io.BytesIO(page)

    monkeypatch.setattr(Server, "list_directory", listing)
    assert [e.path for e in walk(f"{web}/images")] == ["ok.png"]


@pytest.mark.parametrize("place", ["file", "memory", "web"])
def test_the_first_bytes_alone_can_be_read(place, data, store, request):
    root = {"file": data, "memory": store}.get(place) or request.getfixturevalue("web")
    assert read_head(f"{root}/lists/p/0.png", 8) == b"\x89PNG\r\n\x1a\n"
    rows = rows_of(f"{root}/tars")[1]
    assert read_head(rows["uri"][0].as_py(), 4) == b"\x89PNG"
    assert read_head(f"parquet:{root}/tables/0.parquet#0&png", 4) == b"\x89PNG"


@pytest.mark.parametrize(("scheme", "package"), sorted(PACKAGES.items()))
def test_a_missing_package_is_named_in_one_line(scheme, package, monkeypatch):
    registry = sys.modules["fsspec.registry"]
    monkeypatch.delitem(registry._registry, scheme, raising=False)
    monkeypatch.setitem(sys.modules, registry.known_implementations[scheme]["class"].rsplit(".", 1)[0], None)
    said = rf"{scheme}:// needs the package {package}, which is not installed\. pip install {package}"
    with pytest.raises(EspalierError, match=said) as error:
        open_reader(Card("set", f"{scheme}://bucket/set"))
    assert "\n" not in str(error.value)


def test_an_unknown_scheme_and_an_empty_place_are_refused():
    with pytest.raises(EspalierError, match="Protocol not known: nope"):
        open_reader(Card("set", "nope://x/y"))
    with pytest.raises(EspalierError, match="nothing at memory://no-such-place"):
        open_reader(Card("set", "memory://no-such-place"))


@pytest.mark.parametrize("uri", ["memory://a/b", "s3://bucket/set", "gs://bucket/set", "https://host/set"])
def test_cards_name_any_url(tmp_path, uri):
    (tmp_path / "x.yaml").write_text(f"uri: {uri}/\n")
    assert read_card(tmp_path / "x.yaml", "x", None).uri == uri


def test_a_file_url_in_a_card_is_a_path(tmp_path, data):
    (tmp_path / "x.yaml").write_text(f"uri: file://{data}/images\n")
    assert read_card(tmp_path / "x.yaml", "x", None).uri == str(data / "images")


def test_a_fingerprint_changes_with_a_store_and_not_without(tmp_path, store):
    zone = LandingZone(tmp_path / "landing")
    zone.land(f"{store}/images", "far")
    first = zone.fingerprint("far")
    assert first.has_success
    assert zone.fingerprint("far") == first
    fsspec.filesystem("memory").pipe("/remote/images/train/class 0/new.png", picture(9))
    changed = zone.fingerprint("far")
    fsspec.filesystem("memory").rm("/remote/images/train/class 0/new.png")
    assert (changed.n_files, changed.fingerprint != first.fingerprint) == (5, True)
