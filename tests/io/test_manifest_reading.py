"""espalier.manifest: what training code reads of a manifest folder."""

import hashlib
import importlib
import io
import pickle
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.io.results import UID, uid_array, write_manifest
from espalier.manifest import Manifest

KEYS = ["00000/000000123", "a.b.c", "a\nb", "ein schönes 图", "n", "x#repeat"]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def put(folder, keys, kept=lambda _: True, uids=None):
    keys = sorted(keys, key=str.encode)
    uid = [digest(k)[:32] for k in keys] if uids is None else uids
    table = pa.table(
        {
            "sample_id": pa.array(keys, pa.string()),
            "uid": pa.array(uid, pa.string()),
            "sha256": pa.array([digest(k) for k in keys], pa.string()),
            "kept": pa.array([kept(k) for k in keys], pa.bool_()),
        }
    )
    write_manifest(folder / "random@0.5", table, {"recipe": "random@0.5"}).commit()
    return Manifest.load(folder / "random@0.5")


def test_it_holds_the_kept_keys_exactly_and_in_byte_order(tmp_path):
    manifest = put(tmp_path, KEYS, kept=lambda key: key != "n")
    assert list(manifest) == [k for k in sorted(KEYS, key=str.encode) if k != "n"]
    assert len(manifest) == len(KEYS) - 1
    assert "a.b.c" in manifest
    assert not {"n", "a.b", "", "00000"} & set(manifest)
    assert all(key not in manifest for key in ("n", "a.b", "", "00000", "000000123"))
    assert manifest.summary["recipe"] == "random@0.5"


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1), st.data())
def test_any_text_is_a_key_and_only_kept_ones_are_in(tmp_path_factory, keys, data):
    kept = data.draw(st.sets(st.sampled_from(sorted(keys))))
    manifest = put(tmp_path_factory.mktemp("any"), keys, kept=kept.__contains__)
    assert list(manifest) == sorted(kept, key=str.encode)
    assert {key for key in keys if key in manifest} == kept


def test_uids_are_those_given_and_else_the_digest_sorted_and_once_each(tmp_path):
    given_uid = "0" * 15 + "1" + "f" * 16
    uids = [given_uid, None, "not hexadecimal", given_uid.upper(), digest("x")[:31], None]
    manifest = put(tmp_path, KEYS, uids=uids)
    keys = sorted(KEYS, key=str.encode)
    wanted = {(1, 2**64 - 1)}
    wanted |= {(int(digest(keys[i])[:16], 16), int(digest(keys[i])[16:32], 16)) for i in (1, 2, 4, 5)}
    assert manifest.uids.dtype == UID == np.dtype("u8,u8")
    assert [tuple(map(int, row)) for row in manifest.uids] == sorted(wanted)


def test_no_kept_sample_gives_an_empty_trie_and_no_uid(tmp_path):
    manifest = put(tmp_path, KEYS, kept=lambda _: False)
    assert (len(manifest), list(manifest), manifest.uids.shape) == (0, [], (0,))
    empty = pa.chunked_array([], pa.string())
    assert uid_array(empty, empty).shape == (0,)


def test_equal_keys_give_equal_bytes(tmp_path):
    for name in "ab":
        put(tmp_path / name, KEYS)
    first, second = (tmp_path / name / "random@0.5" for name in "ab")
    for file in ("kept.marisa", "kept_uids.npy"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_a_manifest_goes_to_worker_processes_as_its_path(tmp_path):
    manifest = put(tmp_path, KEYS)
    sent = pickle.dumps(manifest.filter_webdataset())
    assert len(sent) < 1000
    assert pickle.loads(sent)({"__key__": "a.b.c"})


def test_an_open_manifest_outlives_its_replacement(tmp_path):
    manifest = put(tmp_path, ["old"])
    put(tmp_path, ["new"])
    assert "old" in manifest
    assert "new" not in manifest


def test_a_folder_without_a_trie_and_a_damaged_one_are_named(tmp_path):
    with pytest.raises(EspalierError, match=r"no manifest.*kept\.marisa"):
        Manifest.load(tmp_path)
    (tmp_path / "kept.marisa").write_bytes(b"not a trie at all, but long enough to be read as a header")
    with pytest.raises(EspalierError, match="damaged"):
        Manifest.load(tmp_path)


def shards(folder, names, keys):
    folder.mkdir()
    for name, inside in zip(names, keys, strict=True):
        with tarfile.open(folder / name, "w") as tar:
            for key in inside:
                for field, content in (("jpg", b"picture"), ("txt", key.encode())):
                    info = tarfile.TarInfo(f"{key}.{field}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return folder


def test_webdataset_loads_exactly_the_kept_samples(tmp_path):
    wds = importlib.import_module("webdataset")
    folder = shards(tmp_path / "set", ["0.tar", "1.tar"], [["0/a", "0/b", "ü"], ["1/a", "1/b"]])
    manifest = put(tmp_path, ["0/a", "0/b", "ü", "1/a", "1/b"], kept=lambda key: not key.endswith("a"))
    urls = [str(folder / name) for name in ("0.tar", "1.tar")]
    loaded = wds.WebDataset(urls, shardshuffle=False).select(manifest.filter_webdataset())
    assert [sample["__key__"] for sample in loaded] == ["0/b", "ü", "1/b"]


def test_keys_that_hold_their_shard_are_filtered_too(tmp_path):
    wds = importlib.import_module("webdataset")
    folder = shards(tmp_path / "set", ["0.tar", "1.tar"], [["a", "b"], ["a", "b"]])
    manifest = put(tmp_path, ["0/a", "1/b"])
    urls = [str(folder / name) for name in ("0.tar", "1.tar")]
    loaded = wds.WebDataset(urls, shardshuffle=False).select(manifest.filter_webdataset(str(folder)))
    assert [(s["__url__"][-5:], s["__key__"]) for s in loaded] == [("0.tar", "a"), ("1.tar", "b")]
