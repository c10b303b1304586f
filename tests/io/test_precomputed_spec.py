"""Embeddings named by a card: the spec, the marks of files, the gathering, the words."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espalier.core.errors import UsageError
from espalier.io.precomputed.alignment import report
from espalier.io.precomputed.embeddings import NO_VECTOR, PrecomputedEmbeddings
from espalier.stages.options import StageOptions


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("/v", PrecomputedEmbeddings(Path("/v"))),
        (" /v ", PrecomputedEmbeddings(Path("/v"))),
        ("/v#array=l14_img&ids=key", PrecomputedEmbeddings(Path("/v"), "l14_img", "key")),
        ({"path": "/v", "ids": "key"}, PrecomputedEmbeddings(Path("/v"), None, "key")),
    ],
)
def test_a_spec_is_a_path_with_names_after_a_hash_or_a_mapping(value, read):
    assert PrecomputedEmbeddings.parse(value) == read
    assert PrecomputedEmbeddings.parse(str(read)) == read


@pytest.mark.parametrize("value", ["", "#array=x", "/v#nope=1", "/v#array=", {"array": "x"}, {"path": 3}, {"path": ""}])
def test_what_is_no_spec_is_refused_with_the_form(value):
    with pytest.raises(UsageError, match="PATH#array=NAME&ids=COLUMN"):
        PrecomputedEmbeddings.parse(value)


def test_a_relative_path_becomes_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(PrecomputedEmbeddings.parse("v/x.npy#array=a").absolute()) == f"{tmp_path}/v/x.npy#array=a"


def test_the_marks_tell_changed_files_and_nothing_else(tmp_path):
    folder = tmp_path / "img_emb"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"12")
    (tmp_path / "notes.md").write_text("x")
    options = StageOptions(embeddings=str(tmp_path))
    before = options.pick(("embeddings",))
    (tmp_path / "notes.md").write_text("other")
    assert options.pick(("embeddings",)) == before
    os.utime(folder / "a.npy", ns=(1, 1))
    assert options.pick(("embeddings",)) != before
    assert [mark.split(":")[:2] for mark in PrecomputedEmbeddings(tmp_path).marks()] == [["img_emb/a.npy", "2"]]
    (tmp_path / "x.npy").write_bytes(b"123")
    (tmp_path / "x.txt").write_text("a")
    assert [mark.split(":")[0] for mark in PrecomputedEmbeddings(tmp_path / "x.npy").marks()] == ["x.npy", "x.txt"]
    assert PrecomputedEmbeddings(tmp_path / "gone").marks() == []
    assert StageOptions().pick(("embeddings",)) == {"embeddings": ""}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Thirty vectors of forty samples, in an order of their own, some of them broken."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    order = rng.permutation(40)[:30]
    vectors = rng.standard_normal((30, 3)).astype(np.float32)
    vectors[4], vectors[9, 1] = 0, np.nan
    np.save(folder / "x.npy", vectors)
    (folder / "x.txt").write_text("\n".join(f"s{i:02}" for i in order))
    precomputed = PrecomputedEmbeddings(folder)
    return (
        precomputed,
        precomputed.align(pa.array([f"s{i:02}" for i in range(40)])),
        dict(zip(order.tolist(), vectors, strict=True)),
    )


@given(rows=st.lists(st.integers(0, 39), unique=True, max_size=40))
def test_vectors_come_in_the_order_of_the_rows_that_are_wanted(own, rows):
    precomputed, alignment, known = own
    found = precomputed.gather(alignment, np.array(rows, np.int64))
    usable = [row for row in rows if row in known and np.isfinite(known[row]).all() and known[row].any()]
    assert [row for row, have in zip(rows, found.have, strict=True) if have] == usable
    expected = [known[row] / np.linalg.norm(known[row].astype(np.float64)) for row in usable]
    assert np.allclose(found.vectors, np.reshape(expected, (-1, 3)), atol=1e-6)
    for place, row in enumerate(rows):
        if row not in known:
            assert found.errors[place] == NO_VECTOR
    assert set(found.errors) == set(np.flatnonzero(~found.have).tolist())


def test_the_report_says_in_one_line_what_fits_and_what_does_not():
    counts = {
        "matched": 4990,
        "vectors": 5003,
        "samples_without_vector": 10,
        "vectors_without_sample": 12,
        "repeated_ids": 1,
        "first_without_sample": ["a", "b"],
    }
    assert report(counts) == (
        "4,990 of 5,003 vectors belong to a sample; 10 samples have none; 12 belong to no sample ('a', 'b', ...); "
        "1 repeat an id, of which the first counts."
    )
    clean = dict.fromkeys(counts, 0) | {"matched": 3, "vectors": 3, "first_without_sample": []}
    assert report(clean) == "3 of 3 vectors belong to a sample."
