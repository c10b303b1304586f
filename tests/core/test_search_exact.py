"""Exact searches against brute force, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError, UsageError
from espalier.core.rng import generator
from espalier.core.search import Explorer, Part, cosine, hamming, part
from espalier.core.search.ranking import score_together


def bits(n, n_bytes=8, seed=0, values=256):
    return generator(seed, "bits").integers(0, values, (n, n_bytes)).astype(np.uint8)


def unit(n, dim=6, seed=0, grid=None):
    rng = generator(seed, "unit")
    x = rng.standard_normal((n, dim)) if grid is None else rng.integers(-grid, grid + 1, (n, dim)) + 0.25
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def hamming_matrix(a, b):
    return (np.unpackbits(a[:, None] ^ b[None], axis=-1)).sum(-1).astype(np.float32)


def cosine_matrix(a, b):
    products = np.einsum("ij,kj->ikj", a.astype(np.float64), b.astype(np.float64))
    exact = np.array([[row.sum() for row in rows] for rows in products])
    return np.clip(1 - exact, 0, 2).astype(np.float32)


def brute(distances, k, rows=None):
    order = np.lexsort((np.arange(len(distances)), distances))
    if rows is not None:
        order = order[rows[order]]
    return order[:k].tolist()


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 80),
    k=st.integers(1, 100),
    n_bytes=st.sampled_from([1, 4, 8, 20, 32, 64, 65]),
    values=st.sampled_from([2, 256]),
    seed=st.integers(0, 99),
)
def test_hamming_is_brute_force_in_order_of_distance_then_row(n, k, n_bytes, values, seed):
    h, q = bits(n, n_bytes, seed, values), bits(3, n_bytes, seed + 1, values)
    rows, distances = Explorer(h).search(q, k)
    full = hamming_matrix(q, h)
    assert rows.tolist() == [brute(one, k) for one in full]
    assert np.array_equal(distances, np.take_along_axis(full, rows, 1))


def test_ties_across_a_large_set_keep_the_lowest_rows():
    h = bits(50_000, 8, values=2)
    h[:, 1:] = 0
    rows, _ = Explorer(h).search(h[:2], 100)
    for query, got in zip(h[:2], rows, strict=True):
        assert got.tolist() == brute(hamming_matrix(query[None], h)[0], 100)


@pytest.mark.parametrize("n_slices", [2, 3, 7])
def test_slices_searched_side_by_side_join_to_the_same_list(n_slices):
    h, q = bits(200, values=3), bits(2, seed=1, values=3)
    for k in (1, 30, 200):
        distances, rows = hamming._search_slices(q, h, k, n_slices)
        assert rows.tolist() == [brute(one, k) for one in hamming_matrix(q, h)]
        assert np.array_equal(distances, np.take_along_axis(hamming_matrix(q, h), rows, 1))


def test_a_set_large_enough_to_be_sliced_is_brute_force_too(monkeypatch):
    monkeypatch.setattr(hamming, "_SLICE", 50)
    h, q = bits(400, values=3), bits(1, seed=1, values=3)
    assert Explorer(h).topk(q, 60).row.tolist() == brute(hamming_matrix(q, h)[0], 60)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 80),
    k=st.integers(1, 100),
    width=st.integers(1, 90),
    choice=st.integers(1, 90),
    grid=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 99),
)
def test_cosine_is_brute_force_with_ties_by_row_for_any_block(n, k, width, choice, grid, seed):
    x, q = unit(n, seed=seed, grid=grid), unit(3, seed=seed + 1, grid=grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosine, "_PRODUCTS", 3 * width)
        patch.setattr(cosine, "_CHOICE", choice)
        rows, distances = Explorer(vectors=x).search(q, k)
    full = cosine_matrix(q, x)
    assert rows.tolist() == [brute(one, k) for one in full]
    assert np.array_equal(distances, np.take_along_axis(full, rows, 1))


def test_identical_vectors_come_in_order_of_row_whatever_the_block():
    x = np.repeat(unit(3, 512), 40_000, axis=0)
    rows, distances = Explorer(vectors=x).search(x[:1], 60)
    assert rows[0].tolist() == list(range(60))
    assert (distances == distances[0, 0]).all()
    again, _ = Explorer(vectors=x).search(x[[0, 50_000, 90_000]], 60)
    assert again[0].tolist() == rows[0].tolist()
    assert again[1].tolist() == list(range(40_000, 40_060))


def test_one_query_and_a_hundred_give_the_same_bits():
    x, q = unit(5000, 64), unit(100, 64, seed=1)
    explorer = Explorer(vectors=x)
    rows, distances = explorer.search(q, 20)
    for i in (0, 57, 99):
        alone = explorer.search(q[i], 20)
        assert np.array_equal(alone[0][0], rows[i])
        assert np.array_equal(alone[1][0], distances[i])


def test_one_thread_and_several_give_the_same_bits():
    from threadpoolctl import threadpool_limits

    x, h, q = unit(5000, 64), bits(5000), unit(20, 64, seed=1)
    explorer = Explorer(h, vectors=x)
    several = [*explorer.search(q, 30), *explorer.search(h[:20], 30), explorer.topk(q, 30, fuse="mean").score]
    with threadpool_limits(1):
        one = [*explorer.search(q, 30), *explorer.search(h[:20], 30), explorer.topk(q, 30, fuse="mean").score]
    assert all(np.array_equal(a, b) for a, b in zip(one, several, strict=True))


def test_read_only_and_mapped_arrays_will_do(tmp_path):
    h, x = bits(50), unit(50)
    np.save(tmp_path / "h.npy", h)
    np.save(tmp_path / "x.npy", x)
    explorer = Explorer(np.load(tmp_path / "h.npy", mmap_mode="r"), vectors=np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert explorer.topk(h[7], 1).row.tolist() == explorer.topk(x[7], 1).row.tolist() == [7]
    assert explorer.topk(h[7], 3, fuse="mean").row.tolist() == Explorer(h).topk(h[7], 3).row.tolist()


def test_rows_that_grow_nearer_do_not_pile_up():
    angle = np.linspace(np.pi / 2, 0, 20_000)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosine, "_CHOICE", 1000)
        rows, _ = Explorer(vectors=x).search(np.array([1, 0], np.float32), 5)
    assert rows[0, 0] >= 19_990


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(["bits", "unit"]),
    fuse=st.sampled_from(["best", "mean"]),
    n=st.integers(1, 60),
    k=st.integers(1, 70),
    n_queries=st.integers(1, 4),
    n_without=st.integers(0, 3),
    width=st.integers(1, 70),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_fused_rankings_are_brute_force(kind, fuse, n, k, n_queries, n_without, width, seed, data):
    make, matrix = (bits, hamming_matrix) if kind == "bits" else (unit, cosine_matrix)
    x, q, away = make(n, seed=seed), make(n_queries, seed=seed + 1), make(n_without, seed=seed + 2)
    where = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, "_ROWS", width)
        explorer = Explorer(x) if kind == "bits" else Explorer(vectors=x)
        hits = explorer.topk(q, k, fuse=fuse, without=away if n_without else None, weight=0.5, where=where)
    full = matrix(q, x).astype(np.float64)
    score = full.min(0) if fuse == "best" else full.mean(0)
    if n_without:
        score = score - 0.5 * matrix(away, x).astype(np.float64).min(0)
    score = score.astype(np.float32)
    assert hits.row.tolist() == brute(score, k, where)
    assert np.array_equal(hits.score, score[hits.row])
    base = (full.min(0) if fuse == "best" else full.mean(0)).astype(np.float32)
    assert np.array_equal(hits.distance, base[hits.row])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 60), k=st.integers(1, 70), n_without=st.integers(0, 2), seed=st.integers(0, 50))
def test_reciprocal_ranks_are_brute_force(n, k, n_without, seed):
    x, q, away = bits(n, seed=seed), bits(3, seed=seed + 1), bits(n_without, seed=seed + 2)
    score = np.zeros(n)
    for queries, weight in ((q, -1.0), (away, 0.5)):
        part_of = np.zeros(n)
        for one in hamming_matrix(queries, x):
            order = np.lexsort((np.arange(n), one))
            part_of[order] += 1.0 / (60 + np.arange(1, n + 1))
        score += weight * part_of
    hits = Explorer(x).topk(q, k, fuse="rrf", without=away if n_without else None)
    want = brute(score.astype(np.float32), k)
    assert hits.row.tolist() == want


def test_several_datasets_are_ranked_as_one_and_named():
    a, b, q = bits(30), bits(50, seed=1), bits(4, seed=2)
    b[7] = a[3]
    ids = [f"a{i:02}" for i in range(30)], [f"b{i:02}" for i in range(50)]
    two = Explorer(parts=[Part("a", ids[0], a), Part("b", ids[1], b)])
    for fuse in ("best", "mean", "rrf"):
        got, want = (
            two.topk(q, 40, fuse=fuse),
            Explorer(np.concatenate([a, b]), [*ids[0], *ids[1]]).topk(q, 40, fuse=fuse),
        )
        assert got.ids == want.ids
        assert np.array_equal(got.distance, want.distance)
        assert [got.names[p] for p in got.part] == ["a" if i.startswith("a") else "b" for i in got.ids]
    first = two.topk(a[3], 2)
    assert first.ids == ("a03", "b07")
    assert first.row.tolist() == [3, 7]
    masked = two.topk(q, 80, where=[np.zeros(30, bool), None])
    assert len(masked) == 50
    assert set(masked.part.tolist()) == {1}


def test_the_nearest_query_is_named():
    h = bits(40)
    hits = Explorer(h).topk(h[[5, 9]], 2)
    assert hits.row.tolist() == [5, 9]
    assert hits.query.tolist() == [0, 1]


def test_an_example_that_pushes_away_moves_its_likes_down():
    angle = np.radians([0, 10, -12, 60])  # the second is the first's nearest; the third lies on the other side
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    explorer = Explorer(vectors=x)
    assert explorer.topk(x[0], 4).row.tolist() == [0, 1, 2, 3]
    pushed = explorer.topk(x[0], 4, without=x[3])
    assert pushed.row.tolist() == [2, 0, 1, 3]
    np.testing.assert_allclose(pushed.distance, 1 - np.cos(angle[pushed.row]), atol=1e-6)
    assert explorer.topk(x[0], 4, without=x[3], weight=0.0).row.tolist() == [0, 1, 2, 3]


def test_a_filter_works_before_ranking_and_k_above_it_gives_what_is_left():
    h = bits(100)
    where = np.arange(100) % 10 == 0
    hits = Explorer(h).topk(h[1], 50, where=where)
    assert sorted(hits.row.tolist()) == list(range(0, 100, 10))
    assert len(Explorer(h).topk(h[1], 50, where=np.zeros(100, bool))) == 0
    assert Explorer(h).search(h[1], 50, where=np.zeros(100, bool))[0].shape == (1, 0)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 200), k=st.integers(1, 30), threshold=st.integers(0, 30), seed=st.integers(0, 50))
def test_unique_shows_what_a_plain_walk_would(n, k, threshold, seed):
    h, q = bits(n, seed=seed, values=4), bits(1, seed=seed + 1)
    full, shown = hamming_matrix(h, h), []
    for row in brute(hamming_matrix(q, h)[0], n):
        if len(shown) < k and not any(full[row, s] <= threshold for s in shown):
            shown.append(row)
    assert Explorer(h).topk(q, k, unique=float(threshold)).row.tolist() == shown


def test_unique_looks_past_thousands_of_copies():
    h = np.concatenate([np.repeat(bits(1, 64), 9000, axis=0), bits(20, 64, seed=1)])
    hits = Explorer(h).topk(h[0], 5, unique=True)
    assert hits.row[0] == 0
    assert (hits.row[1:] >= 9000).all()
    assert len(hits) == 5


def test_a_deep_list_is_the_head_of_a_deeper_one():
    h, q = bits(9000), bits(2, seed=1)
    explorer = Explorer(h)
    assert explorer.topk(q, 4000).row.tolist() == explorer.topk(q, 9000).row[:4000].tolist()


def test_wrong_use_is_refused():
    h, x = bits(10), unit(10)
    both = Explorer(h, vectors=x)
    with pytest.raises(UsageError, match="top-k is 0"):
        both.topk(h[0], 0)
    with pytest.raises(UsageError, match="fuse"):
        both.topk(h[0], 1, fuse="worst")
    with pytest.raises(UsageError, match="two kinds"):
        both.topk(h[0], 1, without=x[0])
    with pytest.raises(UsageError, match="build_index"):
        both.topk(h[0], 1, approximate=True)
    with pytest.raises(EspalierError, match="wide"):
        both.topk(bits(1, 4), 1)
    with pytest.raises(EspalierError, match="cosine"):
        Explorer(h).topk(x[0], 1)
    with pytest.raises(EspalierError, match="norm"):
        both.topk(x[0] * 2, 1)
    with pytest.raises(EspalierError, match="filter"):
        both.topk(h[0], 1, where=np.ones(9, bool))
    with pytest.raises(EspalierError, match="rows"):
        Explorer(h, ["only one"])
    with pytest.raises(EspalierError, match="neither"):
        Explorer(parts=[Part("a")])
    with pytest.raises(EspalierError, match="width"):
        Explorer(parts=[Part("a", hashes=bits(2, 8)), Part("b", hashes=bits(2, 16))])
    with pytest.raises(EspalierError, match="all datasets"):
        Explorer(parts=[Part("a", hashes=h), Part("b", vectors=x)])


@settings(deadline=None, max_examples=40)
@given(
    fuse=st.sampled_from(["best", "mean", "rrf"]),
    n=st.integers(1, 40),
    n_queries=st.integers(1, 3),
    n_without=st.integers(0, 2),
    seed=st.integers(0, 50),
)
def test_distances_taken_together_score_as_the_explorer_does(fuse, n, n_queries, n_without, seed):
    x, q, away = bits(n, seed=seed), bits(n_queries, seed=seed + 1), bits(n_without, seed=seed + 2)
    wanted, unwanted = hamming_matrix(q, x), hamming_matrix(away, x)
    score = score_together(wanted, unwanted, fuse=fuse, weight=0.5, unrelated=32.0, k=n)
    hits = Explorer(x).topk(q, n, fuse=fuse, without=away if n_without else None)
    assert brute(score, n) == hits.row.tolist()
    np.testing.assert_array_equal(score[hits.row], hits.score)


def test_what_has_nothing_to_compare_counts_as_unrelated_and_has_no_rank():
    nothing = np.nan
    wanted = np.array([[10, 20, 40], [nothing, 30, 20]], np.float32)
    none = np.zeros((0, 3), np.float32)
    best, mean, ranks = (
        score_together(wanted, none, fuse=fuse, weight=0.5, unrelated=32.0, k=3) for fuse in ("best", "mean", "rrf")
    )
    assert best.tolist() == [10, 20, 20]
    assert mean.tolist() == [21, 25, 30]
    np.testing.assert_allclose(ranks, [-1 / 61, -1 / 62 - 1 / 62, -1 / 63 - 1 / 61], rtol=1e-6)
    pushed = score_together(wanted[:1], wanted[1:], fuse="best", weight=0.5, unrelated=32.0, k=3)
    assert pushed.tolist() == [10 - 16, 20 - 15, 40 - 10]
