import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from espalier.core.errors import EspalierError
from espalier.io.precomputed.embeddings import PrecomputedEmbeddings
from espalier.io.precomputed.shards import find_shards

IDS = [f"cat/{i:02d}.jpg" for i in range(20)]


def vectors(n: int = 20, dim: int = 6, kind=np.float32) -> np.ndarray:
    return (np.random.Generator(np.random.PCG64(1)).standard_normal((n, dim)) * 3).astype(kind)


def unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def gathered(precomputed: PrecomputedEmbeddings, ids: list[str] = IDS, **options):
    alignment = precomputed.align(pa.array(ids))
    batches = list(precomputed.read(alignment, **options))
    rows = np.concatenate([batch.rows for batch in batches])
    return alignment, rows, np.concatenate([b.vectors for b in batches]), [e for b in batches for e in b.errors]


def npy_with_lines(folder, x, ids):
    np.save(folder / "x.npy", x)
    (folder / "x.txt").write_text("\n".join(ids), encoding="utf-8")


def npy_with_ids(folder, x, ids):
    np.save(folder / "x.npy", x)
    np.save(folder / "ids.npy", np.array(ids))


def clip_retrieval(folder, x, ids):
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    cuts = [0, 7, 8, len(x)]
    # Ten comes after nine, not after one.
    for number, start, stop in zip((2, 9, 10), cuts, cuts[1:], strict=False):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", x[start:stop])
        table = pa.table({"caption": ["a"] * (stop - start), "image_path": ids[start:stop]})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")


def parquet_lists(folder, x, ids):
    table = pa.table({"key": ids, "embedding": pa.array(list(x), pa.list_(pa.from_numpy_dtype(x.dtype)))})
    pq.write_table(table, folder / "a.parquet", row_group_size=6)


def parquet_fixed(folder, x, ids):
    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    pq.write_table(pa.table({"sample_id": ids, "anything": flat, "n": range(len(x))}), folder / "a.parquet")


def npz_with_uids(folder, x, ids):
    np.savez(folder / "0.npz", b32_img=x[:, :2], l14_img=x)
    pq.write_table(pa.table({"uid": ids}), folder / "0.parquet")


def npz_alone(folder, x, ids):
    np.savez(folder / "0.npz", ids=np.array(ids), whatever=x)


LAYOUTS = [npy_with_lines, npy_with_ids, clip_retrieval, parquet_lists, parquet_fixed, npz_with_uids, npz_alone]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_unit_vectors_in_the_rows_of_their_samples(tmp_path, layout, kind):
    order = np.random.Generator(np.random.PCG64(2)).permutation(20)
    x = vectors(kind=kind)
    layout(tmp_path, x[order], [IDS[i] for i in order])
    precomputed = PrecomputedEmbeddings(tmp_path)
    alignment, rows, got, errors = gathered(precomputed)
    assert precomputed.dim == 6
    assert errors == []
    assert sorted(rows.tolist()) == list(range(20))
    assert got.dtype == np.float32
    assert np.array_equal(got[np.argsort(rows)], unit(x))
    assert alignment.describe()["matched"] == 20
    assert json.loads(json.dumps([precomputed.describe(), alignment.describe()]))


def test_blocks_do_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr("espalier.io.precomputed.shards.BLOCK_ROWS", 3)
    for number, layout in enumerate((npy_with_lines, parquet_lists, npz_with_uids)):
        folder = tmp_path / str(number)
        folder.mkdir()
        layout(folder, vectors(), IDS)
        _, rows, got, _ = gathered(PrecomputedEmbeddings(folder))
        assert rows.tolist() == list(range(20))
        assert np.array_equal(got, unit(vectors()))


def test_missing_extra_and_repeated_ids_are_reported(tmp_path):
    ids = [*IDS[:15], "dog/1.jpg", "dog/2.jpg", IDS[0]]
    npy_with_lines(tmp_path, vectors(18), ids)
    alignment, rows, got, _ = gathered(PrecomputedEmbeddings(tmp_path))
    assert alignment.missing.tolist() == [15, 16, 17, 18, 19]
    assert (alignment.n_extra, alignment.n_repeated) == (2, 1)
    assert alignment.extra == ("dog/1.jpg", "dog/2.jpg")
    assert rows.tolist() == list(range(15))
    assert np.array_equal(got, unit(vectors(18))[:15])


def test_zero_and_broken_vectors_are_refused_by_row(tmp_path):
    x = vectors()
    x[3], x[5, 2], x[7, 0] = 0, np.nan, np.inf
    npy_with_lines(tmp_path, x, IDS)
    _, rows, _, errors = gathered(PrecomputedEmbeddings(tmp_path))
    assert errors == [
        (3, "its vector, row 3 of x.npy, is zero"),
        (5, "its vector, row 5 of x.npy, is not finite"),
        (7, "its vector, row 7 of x.npy, is not finite"),
    ]
    assert set(rows.tolist()) == set(range(20)) - {3, 5, 7}


def test_a_missing_list_in_a_table_is_refused_by_row(tmp_path):
    lists = [None, *vectors().tolist()[1:]]
    pq.write_table(pa.table({"id": IDS, "vector": pa.array(lists, pa.list_(pa.float32()))}), tmp_path / "a.parquet")
    precomputed = PrecomputedEmbeddings(tmp_path / "a.parquet")
    _, rows, got, errors = gathered(precomputed)
    assert precomputed.dim == 6
    assert errors == [(0, "its vector, row 0 of a.parquet, is not finite")]
    assert np.array_equal(got, unit(vectors())[1:])
    assert rows.tolist() == list(range(1, 20))


def test_only_wanted_samples_are_read(tmp_path):
    npy_with_lines(tmp_path, vectors(), IDS)
    wanted = np.zeros(20, dtype=bool)
    wanted[[2, 11]] = True
    _, rows, got, _ = gathered(PrecomputedEmbeddings(tmp_path), wanted=wanted)
    assert rows.tolist() == [2, 11]
    assert np.array_equal(got, unit(vectors())[[2, 11]])


def test_the_column_in_which_most_samples_are_found_is_taken(tmp_path):
    table = pa.table({"key": [f"{i}" for i in range(20)], "image_path": IDS, "embedding": list(vectors())})
    pq.write_table(table, tmp_path / "a.parquet")
    precomputed = PrecomputedEmbeddings(tmp_path)
    assert precomputed.align(pa.array(IDS)).column == "image_path"
    assert PrecomputedEmbeddings(tmp_path, ids="key").align(pa.array(["5", "3"])).describe()["matched"] == 2
    with pytest.raises(EspalierError, match=r"no column 'nope'.*image_path"):
        PrecomputedEmbeddings(tmp_path, ids="nope").align(pa.array(IDS))


def test_the_id_is_that_of_the_content(tmp_path):
    ids = []
    for number, x in enumerate((vectors(), vectors(), vectors() + 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        npy_with_lines(folder, x, IDS)
        ids.append(PrecomputedEmbeddings(folder).id)
    assert ids[0] == ids[1] != ids[2]


def test_what_cannot_be_aligned_says_why(tmp_path):
    npy_with_lines(tmp_path, vectors(), IDS[:19])
    with pytest.raises(EspalierError, match=r"x\.npy holds 20 vectors, x\.txt 19 ids"):
        PrecomputedEmbeddings(tmp_path).align(pa.array(IDS))
    (tmp_path / "x.txt").write_text("\n".join(f"/data/{name}" for name in IDS))
    with pytest.raises(EspalierError, match=r"'/data/cat/00\.jpg'.*'cat/00\.jpg'"):
        PrecomputedEmbeddings(tmp_path).align(pa.array(IDS))


def test_shards_of_two_encoders_are_refused(tmp_path):
    for name, dim in (("a", 6), ("b", 8)):
        np.save(tmp_path / f"{name}.npy", vectors(20, dim))
        (tmp_path / f"{name}.txt").write_text("\n".join(IDS))
    with pytest.raises(EspalierError, match=r"differ in dimension: 6 in a\.npy, 8 in b\.npy"):
        PrecomputedEmbeddings(tmp_path).describe()


def test_pickles_and_other_strangers_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(EspalierError, match="pickles are not loaded"):
        PrecomputedEmbeddings(tmp_path).describe()
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.int32))
    with pytest.raises(EspalierError, match="no matrix of vectors"):
        PrecomputedEmbeddings(tmp_path).describe()
    for there, said in (("nowhere", "no embeddings at"), ("", "no .npy, .npz or .parquet")):
        folder = tmp_path / "empty" / there
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(EspalierError, match=said):
            PrecomputedEmbeddings(folder).describe()


def test_a_matrix_without_ids_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", vectors())
    with pytest.raises(EspalierError, match=r"has no ids.*x\.txt"):
        find_shards(tmp_path)


def test_two_columns_of_lists_need_a_name(tmp_path):
    table = pa.table({"id": IDS, "a": list(vectors()), "b": list(vectors(20, 3))})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(EspalierError, match="Name one of: a, b"):
        PrecomputedEmbeddings(tmp_path).describe()
    assert PrecomputedEmbeddings(tmp_path, array="b").dim == 3


def test_a_column_of_uids_is_matched_with_the_samples_uids(tmp_path):
    """DataComp's npz stand beside tables with uids, its samples in tars under keys."""
    uids = [f"{i:032x}" for i in range(20)]
    npz_with_uids(tmp_path, vectors(), uids[::-1])
    precomputed = PrecomputedEmbeddings(tmp_path)
    alignment = precomputed.align(pa.array(IDS), uids=pa.array([*uids[:19], None]))
    assert alignment.column == "uid"
    assert alignment.missing.tolist() == [19]
    assert alignment.rows.tolist() == [-1, *range(18, -1, -1)]
    with pytest.raises(EspalierError, match="No id of"):
        precomputed.align(pa.array(IDS))
