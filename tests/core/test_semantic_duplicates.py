"""SemDeDup against brute force, and each fault of the original that must not come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core import linalg
from espalier.core.dedup.pairs import Pairs, components, keep_greedily
from espalier.core.dedup.semantic import (
    SimilarPairs,
    TooManyPairs,
    direct,
    eps_for_share,
    rank_positions,
    resolve,
    resolve_directly,
    search,
    similar_pairs,
)
from espalier.core.errors import EspalierError, UsageError
from espalier.core.rng import generator


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def planted(n=600, d=24, k=7, seed=0, noise=0.05):
    """Half the rows are copies of the other half; clusters by the nearest of k directions."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((n, d)))
    rows[n // 2 :] = unit(rows[: n // 2] + noise * rng.standard_normal((n // 2, d)))
    centroids = unit(rng.standard_normal((k, d)))
    score = rows @ centroids.T
    assignment = score.argmax(1).astype(np.int32)
    return rows, assignment, (1 - score.max(1)).astype(np.float32), centroids


def chain():
    """A - B 0.95, B - C 0.95, A - C 0.81 (0.805 is the least that these two allow)."""
    gram = np.array([[1, 0.95, 0.81], [0.95, 1, 0.95], [0.81, 0.95, 1]])
    return np.linalg.cholesky(gram).astype(np.float32)


def stored_chain():
    """A - B 0.95, B - C 0.95, A - C 0.80, as stored pairs."""
    return SimilarPairs(Pairs(np.array([0, 0, 1]), np.array([1, 2, 2]), np.float32([0.95, 0.80, 0.95])), 3, 0.7)


def greedy_by_hand(n, earlier, later, always=()):
    kept = np.ones(n, bool)
    for node in range(n):
        before = [e for e, x in zip(earlier, later, strict=True) if x == node]
        kept[node] = node in always or not any(kept[e] for e in before)
    return kept


@pytest.mark.parametrize("similar", [stored_chain(), similar_pairs(chain(), np.zeros(3, int), floor=0.7)])
def test_a_chain_keeps_both_ends_under_keep_one_and_only_the_first_under_paper(similar):
    position = np.arange(3)
    one = resolve(similar, position, eps=0.1, rule="keep_one")
    assert one.kept.tolist() == [True, False, True]
    assert one.duplicate_of.tolist() == [-1, 0, -1]
    np.testing.assert_allclose(one.similarity, [0, 0.95, 0], atol=1e-6)
    paper = resolve(similar, position, eps=0.1, rule="paper")
    assert paper.kept.tolist() == [True, False, False]
    assert paper.via.tolist() == [-1, 0, 1]
    assert paper.duplicate_of.tolist() == [-1, 0, 0]  # always a kept row
    np.testing.assert_allclose(paper.similarity, [0, 0.95, 0.95], atol=1e-6)


@pytest.mark.parametrize("rule", ["keep_one", "paper"])
@pytest.mark.parametrize("rank", ["hard", "easy", "random"])
def test_verdicts_equal_those_of_a_plain_loop_over_the_full_matrix(rule, rank):
    rows, assignment, distance, _ = planted()
    position = rank_positions(distance, rank, rng=generator(3, "rank"))
    verdict = resolve(similar_pairs(rows, assignment, floor=0.8), position, eps=0.1, rule=rule)
    full = rows.astype(float) @ rows.T.astype(float)
    kept = np.ones(len(rows), bool)
    for row in np.argsort(position):
        earlier = (position < position[row]) & (assignment == assignment[row])
        if rule == "keep_one":
            earlier &= kept
        similar = earlier & (full[row] > 0.9)
        kept[row] = not similar.any()
        if similar.any():
            best = np.flatnonzero(similar)[np.argmax(full[row][similar])]
            assert verdict.via[row] == best
            assert verdict.similarity[row] == pytest.approx(full[row, best], abs=1e-6)
    np.testing.assert_array_equal(verdict.kept, kept)
    assert 0 < (~kept).sum() < len(rows)
    gone = np.flatnonzero(~kept)
    assert kept[verdict.duplicate_of[gone]].all()
    assert (verdict.duplicate_of[kept] == -1).all()


def test_every_dropped_sample_has_a_kept_neighbour_where_the_original_left_orphans():
    """Non-regression: the original compares with removed rows too, so a chain loses its far end."""
    rows, assignment, distance, _ = planted(noise=0.12, k=2)
    similar = similar_pairs(rows, assignment, floor=0.5)
    position = rank_positions(distance, rng=generator(0))
    full = rows.astype(float) @ rows.T.astype(float)

    def orphans(verdict, eps):
        gone = ~verdict.kept
        return ((full[gone][:, verdict.kept] > 1 - eps).sum(1) == 0).sum()

    assert orphans(resolve(similar, position, eps=0.45, rule="keep_one"), 0.45) == 0
    assert orphans(resolve(similar, position, eps=0.45, rule="paper"), 0.45) > 0


def brute(rows, assignment, floor):
    full = np.triu(rows.astype(float) @ rows.T.astype(float), 1)
    i, j = np.nonzero((full > floor) & (assignment[:, None] == assignment))
    return i, j, full[i, j]


def test_pairs_are_complete_and_do_not_depend_on_tiles(monkeypatch):
    """Non-regression: the parts of a split cluster were never compared with each other."""
    rows, assignment, _, _ = planted(k=3)
    whole = similar_pairs(rows, assignment, floor=0.5)
    i, j, similarity = brute(rows, assignment, 0.5)
    np.testing.assert_array_equal(whole.pairs.i, i)
    np.testing.assert_array_equal(whole.pairs.j, j)
    np.testing.assert_allclose(whole.pairs.similarity, similarity, atol=1e-6)
    assert whole.split == 0
    for tile in (7, 64):
        monkeypatch.setattr(search, "TILE", tile)
        again = similar_pairs(rows, assignment, floor=0.5)
        assert again.split == 3
        for name in ("i", "j", "similarity"):
            np.testing.assert_array_equal(getattr(again.pairs, name), getattr(whole.pairs, name))


@pytest.mark.parametrize("floor", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("spread", [0.0, 1.5])
@pytest.mark.parametrize("memory", [1 << 30, 1 << 16])
def test_the_screen_loses_no_pair(monkeypatch, floor, spread, memory):
    """Vectors all around, and vectors with a common direction, whose projections carry most of the cosine."""
    monkeypatch.setattr(search, "LEAST_WORK", 0)
    monkeypatch.setattr(search, "TILE", 100)
    rng = np.random.default_rng(0)
    rows = unit(rng.standard_normal((500, 64)) * 0.97 ** np.arange(64) + spread)
    rows[300:] = unit(rows[:200] + rng.uniform(0.001, 0.08, (200, 1)) * rng.standard_normal((200, 64)))
    assignment = rng.integers(0, 2, 500)
    monkeypatch.setattr(search, "_PAIR_BYTES", 0.01)
    found = similar_pairs(rows, assignment, floor=floor, memory=memory)
    i, j, _ = brute(rows, assignment, floor)
    np.testing.assert_array_equal(found.pairs.i, i)
    np.testing.assert_array_equal(found.pairs.j, j)


def test_screened_products_are_upper_bounds_of_the_cosine():
    rng = np.random.default_rng(1)
    rows = unit(rng.standard_normal((300, 64)) * 0.9 ** np.arange(64))
    for m in (1, 7, 63, 64):
        axes = np.linalg.qr(rng.standard_normal((64, 64)))[0][:, :m].astype(np.float32)
        screened = linalg.project(rows, axes)
        assert (screened @ screened.T - rows @ rows.T).min() > -1e-6


def test_a_projection_that_rules_out_pairs_is_chosen_and_a_useless_one_is_not():
    rows = unit(np.random.default_rng(0).standard_normal((2000, 128)))
    assert linalg.choose_axes(rows, rows[:-1], rows[1:], 0.95).shape[1] < 127
    assert linalg.choose_axes(rows, rows[:-1], rows[1:], 0.3) is None


def test_probing_all_clusters_finds_every_pair_once_and_probing_one_more_finds_border_pairs():
    rows, assignment, _, centroids = planted(n=400)
    full = np.triu(rows.astype(float) @ rows.T.astype(float), 1) > 0.8
    found = [
        similar_pairs(rows, assignment, floor=0.8, centroids=centroids, n_probe=probe).pairs for probe in (1, 2, 7, 99)
    ]
    assert len(found[0]) < len(found[1]) <= len(found[2]) == len(found[3]) == full.sum()
    i, j = np.nonzero(full)
    np.testing.assert_array_equal(found[2].i, i)
    np.testing.assert_array_equal(found[2].j, j)


def test_n_probe_without_centroids_is_refused():
    rows, assignment, _, _ = planted(n=20)
    with pytest.raises(UsageError, match="centroids"):
        similar_pairs(rows, assignment, floor=0.8, n_probe=2)


def test_a_smaller_eps_is_a_filter_of_the_stored_pairs():
    rows, assignment, distance, _ = planted()
    position = rank_positions(distance, rng=generator(0))
    wide, narrow = (similar_pairs(rows, assignment, floor=floor) for floor in (0.5, 0.92))
    for rule in ("keep_one", "paper"):
        a, b = (resolve(found, position, eps=0.08, rule=rule) for found in (wide, narrow))
        np.testing.assert_array_equal(a.kept, b.kept)
        np.testing.assert_array_equal(a.duplicate_of, b.duplicate_of)


def test_an_eps_that_the_stored_pairs_do_not_cover_is_refused():
    rows, assignment, _, _ = planted(n=50)
    similar = similar_pairs(rows, assignment, floor=0.95)
    with pytest.raises(UsageError, match=r"stored from 0\.95"):
        resolve(similar, np.arange(50), eps=0.06)
    resolve(similar, np.arange(50), eps=0.05)
    with pytest.raises(UsageError, match="out of range"):
        resolve(similar, np.arange(50), eps=-0.1)
    with pytest.raises(UsageError, match="keep_one, paper"):
        resolve(similar, np.arange(50), eps=0.01, rule="first")


def test_more_eps_drops_more_and_not_less():
    """Non-regression: the original's guide says that a lower epsilon is more aggressive."""
    rows, assignment, distance, _ = planted()
    similar = similar_pairs(rows, assignment, floor=0.5)
    position = rank_positions(distance, rng=generator(0))
    kept = [resolve(similar, position, eps=eps, rule="paper").kept.sum() for eps in (0.0, 0.01, 0.1, 0.3)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == len(rows) > kept[-1]


def test_vectors_that_are_not_of_unit_norm_are_refused():
    """Non-regression: the original takes any vectors and calls their products cosines."""
    rows, assignment, _, _ = planted(n=30)
    scaled = rows.copy()
    scaled[4] *= 2
    with pytest.raises(EspalierError, match="row 4 has norm"):
        similar_pairs(scaled, assignment, floor=0.9)


def test_empty_and_single_clusters_and_empty_sets_are_fine():
    """Non-regression: the original raises IndexError on an empty cluster."""
    rows, _, _, _ = planted(n=4)
    similar = similar_pairs(rows, np.array([9, 2, 9, 5]), floor=-0.99)
    assert set(zip(similar.pairs.i, similar.pairs.j, strict=True)) == {(0, 2)}
    none = similar_pairs(np.empty((0, 8), np.float32), np.empty(0, int), floor=0.9)
    verdict = resolve(none, np.empty(0, np.int64), eps=0.1)
    assert len(verdict.kept) == 0
    one = resolve(similar_pairs(rows[:1], np.zeros(1, int), floor=0.9), np.zeros(1, np.int64), eps=0.1)
    assert one.kept.all()


def test_equal_vectors_keep_exactly_one():
    """Non-regression: the same sample twice in a cluster stopped the original with an assertion."""
    rows = np.repeat(planted(n=4)[0][:2], [5, 1], axis=0)
    verdict = resolve(similar_pairs(rows, np.zeros(6, int), floor=0.9), np.arange(6), eps=0.0001)
    assert verdict.kept.tolist() == [True, False, False, False, False, True]
    assert (verdict.similarity[1:5] == 1).all()


def test_hard_takes_the_farthest_first_and_ties_end_on_the_row():
    distance = np.array([0.1, 0.5, 0.1, 0.5 + 1e-8, 0.3], np.float32)
    rng = generator(0)
    assert rank_positions(distance, "hard", rng=rng).tolist() == [3, 0, 4, 1, 2]
    assert rank_positions(distance, "easy", rng=rng).tolist() == [0, 3, 1, 4, 2]
    drawn = rank_positions(distance, "random", rng=generator(1))
    assert sorted(drawn) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(drawn, rank_positions(distance, "random", rng=generator(1)))
    with pytest.raises(UsageError, match="hard, easy, random"):
        rank_positions(distance, "soft", rng=rng)


@pytest.mark.parametrize("rule", ["keep_one", "paper"])
@pytest.mark.parametrize("share", [1.0, 0.9, 0.63])
def test_eps_for_share_keeps_the_wanted_share(rule, share):
    rows, assignment, distance, _ = planted(noise=0.08, k=3)
    similar = similar_pairs(rows, assignment, floor=0.3)
    position = rank_positions(distance, rng=generator(0))
    found = eps_for_share(similar, position, target_share=share, rule=rule)
    assert found.kept == pytest.approx(share * len(rows), abs=2)
    assert resolve(similar, position, eps=found.eps, rule=rule).kept.sum() == found.kept


def test_a_share_below_what_the_pairs_allow_is_refused_with_the_remedy():
    rows, assignment, distance, _ = planted()
    similar = similar_pairs(rows, assignment, floor=0.95)
    with pytest.raises(EspalierError, match="lower floor"):
        eps_for_share(similar, rank_positions(distance, rng=generator(0)), target_share=0.1)
    with pytest.raises(UsageError, match="out of range"):
        eps_for_share(similar, np.arange(len(rows)), target_share=0)


def test_immune_rows_stay_and_rows_dropped_by_hand_drop_nobody():
    similar = similar_pairs(chain(), np.zeros(3, int), floor=0.7)
    position = np.arange(3)
    for rule in ("keep_one", "paper"):
        guarded = resolve(similar, position, eps=0.1, rule=rule, immune=np.array([False, True, True]))
        assert guarded.kept.tolist() == [False, True, True]
        assert guarded.duplicate_of.tolist() == [1, -1, -1]
        barred = resolve(similar, position, eps=0.1, rule=rule, drop=np.array([False, True, False]))
        assert barred.kept.tolist() == [True, False, True]
        assert barred.duplicate_of.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("block", [5, 256])
def test_deciding_directly_gives_the_same_verdicts_without_stored_pairs(monkeypatch, block):
    monkeypatch.setattr(direct, "BLOCK", block)
    rows, assignment, distance, _ = planted(noise=0.1, k=3)
    rng = np.random.default_rng(0)
    position = rank_positions(distance, rng=generator(0))
    immune, drop = rng.random(600) < 0.1, rng.random(600) < 0.1
    for eps in (0.05, 0.3, 0.6):
        stored = resolve(similar_pairs(rows, assignment, floor=0.3), position, eps=eps, immune=immune, drop=drop)
        straight = resolve_directly(rows, assignment, position, eps=eps, immune=immune, drop=drop)
        for name in ("kept", "duplicate_of", "similarity", "via"):
            np.testing.assert_array_equal(getattr(straight, name), getattr(stored, name), err_msg=name)


def test_three_thousand_rows_all_alike_are_decided_directly():
    base = planted(n=2)[0][:1]
    rows = unit(base + 0.01 * np.random.default_rng(0).standard_normal((3000, base.shape[1])))
    done = []
    verdict = resolve_directly(rows, np.zeros(3000, int), np.arange(3000), eps=0.05, progress=done.append)
    assert verdict.kept.tolist() == [True] + [False] * 2999
    assert (verdict.duplicate_of[1:] == 0).all()
    assert sum(done) == 3000


def test_too_many_pairs_for_the_memory_are_refused_instead_of_filling_it():
    rows = np.repeat(planted(n=4)[0][:1], 3000, axis=0)
    with pytest.raises(TooManyPairs, match="smaller eps"):
        similar_pairs(rows, np.zeros(3000, int), floor=0.9, memory=1 << 20)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 14).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_greedy_keeping_in_rounds_equals_the_plain_loop(case):
    n, edges = case
    edges = sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})
    earlier, later = (np.array([e[side] for e in edges], np.int64) for side in (0, 1))
    np.testing.assert_array_equal(keep_greedily(n, earlier, later), greedy_by_hand(n, earlier, later))
    always = np.arange(n) % 3 == 0
    np.testing.assert_array_equal(
        keep_greedily(n, earlier, later, always), greedy_by_hand(n, earlier, later, set(np.flatnonzero(always)))
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_are_named_by_their_smallest_node(case):
    n, edges = case
    found = components(n, np.array([e[0] for e in edges], int), np.array([e[1] for e in edges], int))
    expected = np.arange(n)
    for _ in range(n):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    np.testing.assert_array_equal(found, expected)


def test_a_long_chain_is_resolved():
    n = 5000
    similar = SimilarPairs(Pairs(np.arange(n - 1), np.arange(1, n), np.full(n - 1, 0.9, np.float32)), n, 0.8)
    verdict = resolve(similar, np.arange(n), eps=0.15)
    np.testing.assert_array_equal(verdict.kept, np.arange(n) % 2 == 0)
    paper = resolve(similar, np.arange(n), eps=0.15, rule="paper")
    assert paper.kept.sum() == 1
    assert (paper.duplicate_of[1:] == 0).all()


@pytest.mark.parametrize("n_probe", [1, 3])
def test_only_pairs_with_a_fresh_row_are_found_and_only_those_are_compared(n_probe):
    rows, assignment, _, centroids = planted()
    fresh = np.arange(len(rows)) % 60 == 7
    search_for = {"floor": 0.7, "centroids": centroids, "n_probe": n_probe}
    whole = similar_pairs(rows, assignment, **search_for)
    some = similar_pairs(rows, assignment, fresh=fresh, **search_for)
    expected = whole.pairs.take(fresh[whole.pairs.i] | fresh[whole.pairs.j])
    assert 0 < len(expected) < len(whole.pairs)
    for name in ("i", "j", "similarity"):
        np.testing.assert_array_equal(getattr(some.pairs, name), getattr(expected, name))
    assert some.comparisons < whole.comparisons / 5
    nothing = similar_pairs(rows, assignment, fresh=np.zeros(len(rows), bool), **search_for)
    assert (len(nothing.pairs), nothing.comparisons) == (0, 0)


def test_row_numbers_of_pairs_hold_more_than_two_billion_rows():
    """Non-regression: the original's int32 row ids overflow."""
    rows, assignment, distance, _ = planted()
    similar = similar_pairs(rows, assignment, floor=0.7)
    verdict = resolve(similar, rank_positions(distance, rng=generator(0)), eps=0.1)
    numbers = (similar.pairs.i, similar.pairs.j, verdict.duplicate_of, verdict.via)
    assert {column.dtype for column in numbers} == {np.dtype(np.int64)}
