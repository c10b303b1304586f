"""Bytes behind a uri: files, objects, members of tars; and what cannot be had, in short words."""

import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from espalier.io.files.blobs import BlobError, _remote_mtime, read_blob, read_bytes, stat_blob


def test_a_file_is_read_whole_with_its_digest_size_and_time(tmp_path):
    path = tmp_path / "a #1+2.bin"
    path.write_bytes(b"x" * 9_000_000)
    blob = read_blob(str(path))
    assert blob.data == path.read_bytes()
    assert blob.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (blob.n_bytes, blob.mtime_ns) == (9_000_000, path.stat().st_mtime_ns)
    assert stat_blob(str(path)) == (blob.n_bytes, blob.mtime_ns)


def test_a_file_above_the_limit_is_hashed_and_not_kept(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(bytes(range(256)) * 40_000)
    blob = read_blob(str(path), limit=1000)
    assert blob.data is None
    assert blob.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_empty_file_is_no_error_here(tmp_path):
    (tmp_path / "empty").touch()
    assert read_bytes(str(tmp_path / "empty")) == b""


def test_a_member_of_a_tar_is_read_in_place_by_many_threads(tmp_path):
    contents = {f"{n:03}.txt": f"member {n}".encode() * (n + 1) for n in range(50)}
    path = tmp_path / "a#b.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with tarfile.open(path) as tar:
        uris = {m.name: f"tar:{path}#{m.offset_data}+{m.size}" for m in tar}
    with ThreadPoolExecutor(8) as pool:
        read = dict(zip(uris, pool.map(read_bytes, uris.values()), strict=True))
    assert read == contents
    assert stat_blob(uris["003.txt"]) == (len(contents["003.txt"]), path.stat().st_mtime_ns)


def test_an_object_and_a_member_in_a_store_are_read(tmp_path):
    files = fsspec.filesystem("memory")
    files.pipe("/blobs/x.bin", b"0123456789")
    assert read_bytes("memory://blobs/x.bin") == b"0123456789"
    assert read_bytes("tar:memory://blobs/x.bin#3+4") == b"3456"
    assert stat_blob("memory://blobs/x.bin")[0] == 10


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("relative/x.jpg", "not an absolute path"),
        ("", "not an absolute path"),
        ("tar:x.tar#0+1", "not an absolute path"),
        ("/data/../etc/passwd", "climbs out"),
        ("tar:/data/../x.tar#0+1", "climbs out"),
        ("memory://blobs/../secret", "climbs out"),
        ("/no/such/file", "no such file"),
        ("memory://blobs/absent", "no such file"),
        ("/", "folder"),
        ("nosuch://a/b", "nosuch"),
    ],
)
def test_what_cannot_be_read_says_why(uri, said):
    with pytest.raises(BlobError, match=said):
        read_bytes(uri)


def test_a_pipe_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BlobError, match="not a regular file"):
        read_bytes(str(tmp_path / "pipe.jpg"))


def test_inline_bytes_are_read():
    assert read_bytes("data:;base64,aGVsbG8=") == b"hello"
    with pytest.raises(BlobError, match="no base64"):
        read_bytes("data:;base64,###")


def test_a_store_that_gives_etags_only_still_tells_versions_apart():
    assert _remote_mtime({"ETag": "a"}) != _remote_mtime({"ETag": "b"}) != 0
    assert _remote_mtime({"ETag": "a"}) == _remote_mtime({"ETag": "a"}) < 2**62
    assert _remote_mtime({}) == 0


def test_a_member_beyond_the_end_of_its_archive_is_an_error(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"0123")
    with pytest.raises(BlobError, match="ends after 2 of 10 bytes"):
        read_bytes(f"tar:{tmp_path}/x.tar#2+10")
