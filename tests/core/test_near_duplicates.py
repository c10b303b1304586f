"""Near duplicates end to end on made textures: planted copies, chains, masks, incremental use, invariance."""

from __future__ import annotations

import numpy as np
import pytest

from espalier.core.dedup.near import compare, find_duplicates, gradient_features, index, mirror_features, neighbours
from espalier.core.dedup.near.compare import Comparer
from espalier.core.dedup.near.features import DIMENSION
from espalier.core.dedup.near.groups import Grouper, settle
from espalier.core.dedup.near.neighbours import Block, SearchReport, pair_blocks
from espalier.core.dedup.pairs import Pairs, components
from espalier.core.errors import UsageError
from espalier.core.rng import generator

T = 0.66


def textures(n, seed=0):
    """Grids of n unlike images."""
    return np.random.default_rng(seed).integers(6000, 60000, (n, 243), dtype=np.uint16)


def smooth(n, seed=0):
    """Grids with the smoothness of photos."""
    coarse = np.random.default_rng(seed).integers(6000, 60000, (n, 5, 5, 3)).astype(float)
    rows = (np.repeat(coarse, 2, axis=1)[:, :9] + np.repeat(coarse, 2, axis=1)[:, 1:]) / 2
    return (
        np.rint((np.repeat(rows, 2, axis=2)[:, :, :9] + np.repeat(rows, 2, axis=2)[:, :, 1:]) / 2)
        .astype(np.uint16)
        .reshape(n, 243)
    )


def noisy(grids, amount=1500, seed=1):
    noise = np.random.default_rng(seed).normal(0, amount, grids.shape)
    return np.clip(grids + noise, 0, 65535).astype(np.uint16)


def mirrored(grids):
    return np.ascontiguousarray(grids.reshape(-1, 9, 9, 3)[:, :, ::-1]).reshape(-1, 243)


def blend(a, b, share):
    return np.rint(a * (1 - share) + b * share).astype(np.uint16)


@pytest.fixture(scope="module")
def planted():
    """Rows 0-59 unlike; 60-79 noisy copies of 0-19; 80-89 same bytes as 20-29; 90-94 mirrors of 30-34."""
    base = textures(60)
    grids = np.concatenate([base, noisy(base[:20]), base[20:30], mirrored(base[30:35])])
    codes = np.arange(95)
    codes[80:90] = codes[20:30]
    return codes, grids


def chain_grids():
    """A like B, B like C, A unlike C."""
    a, c = textures(2, seed=5)
    grids = np.stack([a, blend(a, c, 0.5), c])
    s = gradient_features(grids) @ gradient_features(grids).T
    assert s[0, 2] < s[0, 1]
    assert s[0, 2] < s[1, 2]
    return grids, float((max(s[0, 2], 0) + min(s[0, 1], s[1, 2])) / 2)


def by_hand(grids, order, threshold, immune=()):
    """The plain loop over rows in rank order against all kept rows."""
    features = gradient_features(grids)
    full = features @ features.T
    kept = np.zeros(len(grids), bool)
    for row in order:
        kept[row] = row in immune or not (kept & (full[row] > threshold)).any()
    return kept


def test_planted_copies_go_and_all_else_stays(planted):
    codes, grids = planted
    found = find_duplicates(codes, grids)
    assert np.flatnonzero(~found.kept).tolist() == list(range(60, 90))
    assert found.duplicate_of[60:90].tolist() == list(range(30))
    assert set(found.stage[60:80]) == {"near"}
    assert set(found.stage[80:90]) == {"exact"}
    assert set(found.stage[found.kept]) == {""}
    assert (found.similarity[80:90] == 1).all()
    assert ((found.similarity[60:80] > T) & (found.similarity[60:80] < 1)).all()
    assert not found.chained.any()
    assert not found.mirrored.any()
    assert (found.via == -1).all()
    np.testing.assert_array_equal(found.group[60:90], found.group[:30])
    assert len(np.unique(found.group)) == 65


def test_flips_find_the_mirrored_copies_too(planted):
    codes, grids = planted
    found = find_duplicates(codes, grids, flips=True)
    assert np.flatnonzero(~found.kept).tolist() == list(range(60, 95))
    assert np.flatnonzero(found.mirrored).tolist() == list(range(90, 95))
    assert found.duplicate_of[90:].tolist() == list(range(30, 35))


def test_the_best_quality_represents_the_group_by_pixels_then_bytes_then_row():
    base = textures(1)
    grids = np.concatenate([base, noisy(base, seed=2), noisy(base, seed=3), noisy(base, seed=4)])
    pixels = np.array([100, 400, 400, 400])
    size = np.array([9, 5, 7, 7])
    found = find_duplicates(np.arange(4), grids, (pixels, size))
    assert found.kept.tolist() == [False, False, True, False]
    assert found.duplicate_of.tolist() == [2, 2, -1, 2]
    assert find_duplicates(np.arange(4), grids).kept.tolist() == [True, False, False, False]


def test_equal_bytes_keep_the_exact_stage_even_when_their_copy_went_too():
    base = textures(1)
    better = noisy(base)
    found = find_duplicates(np.array([7, 7, 8]), np.concatenate([base, base, better]), (np.array([1, 1, 2]),))
    assert found.kept.tolist() == [False, False, True]
    assert found.stage.tolist() == ["near", "exact", ""]
    assert found.duplicate_of.tolist() == [2, 2, -1]
    assert found.via.tolist() == [-1, 0, -1]


def test_a_chain_keeps_its_far_end_and_tells_the_link():
    """Non-regression: groups by components alone drop samples that have no kept neighbour."""
    grids, threshold = chain_grids()
    found = find_duplicates(np.arange(3), grids, threshold=threshold)
    assert found.kept.tolist() == [True, False, True]
    assert found.chained.tolist() == [False, False, True]
    assert found.via.tolist() == [-1, -1, 1]
    assert found.group.tolist() == [0, 0, 0]


def test_chained_rows_can_be_dropped_with_their_link_told():
    grids, threshold = chain_grids()
    found = find_duplicates(np.arange(3), grids, threshold=threshold, drop_chained=True)
    assert found.kept.tolist() == [True, False, False]
    assert found.duplicate_of.tolist() == [-1, 0, 0]
    assert found.chained.tolist() == [False, False, True]
    assert found.via.tolist() == [-1, -1, 1]
    assert found.similarity[2] < threshold < found.similarity[1]


def test_rows_of_a_chained_row_are_handed_on_when_it_is_dropped():
    grids, threshold = chain_grids()
    grids = np.concatenate([grids, noisy(grids[2:], 300)])
    kept = find_duplicates(np.arange(4), grids, threshold=threshold)
    assert kept.kept.tolist() == [True, False, True, False]
    assert kept.duplicate_of.tolist() == [-1, 0, -1, 2]
    gone = find_duplicates(np.arange(4), grids, threshold=threshold, drop_chained=True)
    assert gone.kept.tolist() == [True, False, False, False]
    assert gone.duplicate_of.tolist() == [-1, 0, 0, 0]
    assert gone.via[3] == 2


def test_decisions_equal_a_plain_loop_in_rank_order():
    rng = np.random.default_rng(3)
    base = textures(30)
    grids = np.concatenate([base, *(noisy(base, amount, seed=amount) for amount in (3000, 6000, 9000, 12000))])
    quality = rng.integers(0, 5, len(grids))
    order = np.lexsort((np.arange(len(grids)), -quality))
    features = gradient_features(grids)
    full = np.triu(features @ features.T, 1)
    for threshold in (0.4, 0.5, 0.6, 0.8):
        found = find_duplicates(np.arange(len(grids)), grids, (quality,), threshold=threshold)
        np.testing.assert_array_equal(found.kept, by_hand(grids, order, threshold))
        i, j = np.nonzero(full > threshold)
        root = components(len(grids), i, j)
        assert (found.group[:, None] == found.group).astype(int).tolist() == (root[:, None] == root).astype(
            int
        ).tolist()
        gone = np.flatnonzero(~found.kept)
        owner = found.duplicate_of[gone]
        assert found.kept[owner].all()
        np.testing.assert_array_equal(
            found.similarity[gone], np.minimum((features @ features.T)[gone, owner], 1).astype(np.float32)
        )
        assert 0 < len(gone) < len(grids)


def test_protected_rows_stay_and_their_copies_elsewhere_go():
    base = textures(3)
    grids = np.concatenate([base, noisy(base), noisy(base, seed=9)])
    protected = np.zeros(9, bool)
    protected[[3, 6, 7]] = True
    pixels = np.array([9] * 3 + [1] * 6)
    found = find_duplicates(np.arange(9), grids, (pixels,), protected=protected)
    assert found.kept.tolist() == [False, False, True, True, False, False, True, True, False]
    assert found.duplicate_of[[0, 1, 4, 5]].tolist() == [3, 7, 7, 2]
    assert found.twin[6] == 3  # two copies inside the protected subset: told, not dropped


def test_exact_copies_of_protected_rows_go_and_protected_ones_stay():
    base = textures(1)
    grids = np.repeat(base, 4, axis=0)
    found = find_duplicates(np.zeros(4, int), grids, protected=np.array([False, False, True, True]))
    assert found.kept.tolist() == [False, False, True, True]
    assert found.duplicate_of.tolist() == [2, 2, -1, -1]
    assert found.twin.tolist() == [-1, -1, -1, 2]
    assert set(found.stage[:2]) == {"exact"}


def test_human_verdicts_are_honoured():
    base = textures(2)
    grids = np.concatenate([base, noisy(base), noisy(base, seed=7)])
    keep, drop = np.zeros(6, bool), np.zeros(6, bool)
    keep[[2, 4]] = True
    drop[1] = True
    found = find_duplicates(np.arange(6), grids, keep=keep, drop=drop)
    assert found.kept.tolist() == [False, False, True, True, True, False]
    assert found.stage.tolist() == ["near", "by hand", "", "", "", "near"]
    assert found.duplicate_of.tolist() == [2, -1, -1, -1, -1, 3]  # a row dropped by hand represents nobody
    assert found.group[1] == 1
    with pytest.raises(UsageError, match="both"):
        find_duplicates(np.arange(6), grids, keep=keep, drop=keep)


def test_only_new_rows_are_compared_and_only_they_go():
    base = textures(500)
    new = np.concatenate([noisy(base[:4]), textures(5, seed=99), noisy(textures(1, seed=99), 300)])
    grids = np.concatenate([base, new])
    known = np.arange(510) < 500
    quality = np.where(known, 1, 50)  # better copies of known rows go all the same
    found = find_duplicates(np.arange(510), grids, (quality,), known=known)
    assert np.flatnonzero(~found.kept).tolist() == [500, 501, 502, 503, 509]
    assert found.duplicate_of[[500, 501, 502, 503, 509]].tolist() == [0, 1, 2, 3, 504]
    assert found.search.comparisons == 10 * 510
    full = find_duplicates(np.arange(510), grids)
    assert full.search.comparisons > 100_000


def test_a_new_copy_of_a_known_row_and_a_new_protected_row_refers_to_the_protected_one():
    base = textures(1)
    grids = np.concatenate([base, noisy(base), noisy(base, seed=5)])
    found = find_duplicates(
        np.arange(3), grids, known=np.array([True, False, False]), protected=np.array([False, True, False])
    )
    assert found.kept.tolist() == [True, True, False]
    assert found.duplicate_of[2] == 1
    assert found.twin.tolist() == [-1, 0, -1]


@pytest.mark.parametrize(("rows", "columns", "most"), [(16, 33, 4_000_000), (64, 4096, 40), (1, 1, 4_000_000)])
def test_the_result_does_not_depend_on_blocks(monkeypatch, planted, rows, columns, most):
    codes, grids = planted
    grids = np.concatenate([grids, noisy(grids, 7000)])
    codes = np.arange(len(grids))
    whole = find_duplicates(codes, grids, flips=True, threshold=0.5)
    for name, value in (("ROWS", rows), ("COLUMNS", columns), ("MOST_PAIRS", most)):
        monkeypatch.setattr(neighbours, name, value)
    again = find_duplicates(codes, grids, flips=True, threshold=0.5)
    for name in ("kept", "duplicate_of", "stage", "similarity", "mirrored", "group", "chained", "via", "twin"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), err_msg=name)
    np.testing.assert_array_equal(again.border.i, whole.border.i)


@pytest.mark.parametrize("method", ["exact", "index"])
@pytest.mark.parametrize("flips", [False, True])
def test_the_bound_changes_the_speed_and_nothing_else(monkeypatch, method, flips):
    base = smooth(900)
    features = gradient_features(np.concatenate([base, noisy(base[:300], 3000), mirrored(base[300:500])]))

    def search():
        found = [b.pairs for b in pair_blocks(features, 0.55, flips=flips, method=method, rng=generator(0))]
        return Pairs.concatenate(found).sorted()

    whole = search()
    monkeypatch.setattr(compare, "LEAST_WORK", 0)
    assert Comparer(features, 0.55, 10).prepare(np.arange(3), (False,)).screened[0].shape[1] < DIMENSION
    again = search()
    assert len(whole) > 250
    for name in ("i", "j", "similarity"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_shuffled_rows_give_the_same_verdicts_where_quality_decides(planted):
    _, grids = planted
    rng = np.random.default_rng(0)
    quality = rng.permutation(len(grids))
    codes = np.arange(len(grids))
    found = find_duplicates(codes, grids, (quality,))
    order = rng.permutation(len(grids))
    again = find_duplicates(codes[order], grids[order], (quality[order],))
    np.testing.assert_array_equal(again.kept, found.kept[order])


def test_the_border_pairs_are_the_nearest_to_the_threshold_on_both_sides():
    base = textures(30)
    grids = np.concatenate([base, *(noisy(base, amount, seed=amount) for amount in (8000, 11000, 14000))])
    found = find_duplicates(np.arange(len(grids)), grids, threshold=0.5)
    features = gradient_features(grids)
    full = (features @ features.T)[np.triu_indices(len(grids), 1)]
    above = np.sort(full[full > np.float32(0.5)])[:24]
    below = np.sort(full[(full <= np.float32(0.5)) & (full > np.float32(0.42))])[::-1][:24]
    np.testing.assert_array_equal(found.border.similarity, np.concatenate([above[::-1], below]))
    i, j = found.border.i, found.border.j
    assert (i < j).all()
    np.testing.assert_array_equal((features[i] * features[j]).sum(1), found.border.similarity)


def test_many_equal_images_cost_no_pairs():
    grids = np.repeat(textures(2), 30_000, axis=0)
    found = find_duplicates(np.arange(60_000), grids)
    assert found.kept.sum() == 2
    assert found.search.comparisons == 4


def test_many_alike_images_are_grouped_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_PAIRS", 20_000)
    grids = noisy(np.repeat(textures(1), 1500, axis=0), 500)
    features = gradient_features(grids)
    sizes = [len(block.pairs) for block in pair_blocks(features, T, rng=generator(0))]
    assert sum(sizes) == 1500 * 1499 // 2
    assert max(sizes) <= 20_000
    assert find_duplicates(np.arange(1500), grids, threshold=T).kept.sum() == 1


def test_the_index_finds_nearly_all_pairs_and_measures_its_recall(monkeypatch):
    monkeypatch.setattr(index, "PROBES", 6)
    base = textures(1500)
    grids = np.concatenate([base, noisy(base, 4000)])
    features = gradient_features(grids)
    brute = features @ features.T
    true = set(zip(*np.nonzero(np.triu(brute, 1) > T), strict=True))
    report = SearchReport()
    blocks = list(pair_blocks(features, T, method="index", rng=generator(0), report=report))
    pairs = Pairs.concatenate([block.pairs for block in blocks])
    found = set(zip(pairs.i, pairs.j, strict=True))
    assert found <= true
    recall = len(found) / len(true)
    assert recall > 0.9
    assert report.method == "index"
    assert report.recall == pytest.approx(recall, abs=0.1)
    assert report.recall_pairs > 50
    assert 0 < report.comparisons < len(grids) ** 2 / 2
    np.testing.assert_array_equal(pairs.similarity, np.minimum(brute[pairs.i, pairs.j], 1))
    again = Pairs.concatenate([b.pairs for b in pair_blocks(features, T, method="index", rng=generator(0))])
    np.testing.assert_array_equal(again.sorted().i, pairs.sorted().i)


def test_the_index_knows_mirrors_and_old_rows():
    base = textures(800)
    features = gradient_features(np.concatenate([base, mirrored(base[:50]), noisy(base[50:60])]))
    pairs = Pairs.concatenate(
        [b.pairs for b in pair_blocks(features, T, first=800, flips=True, method="index", rng=generator(0))]
    )
    assert (pairs.j >= 800).all()
    assert len(set(zip(pairs.i, pairs.j, strict=True))) == len(pairs) >= 57


@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single_sets_are_fine(n):
    found = find_duplicates(np.arange(n), textures(n))
    assert found.kept.tolist() == [True] * n
    assert len(found.border) == 0


def test_wrong_use_is_refused():
    grids = textures(3)
    for threshold in (0, 1.5, "best"):
        with pytest.raises(UsageError, match="threshold"):
            find_duplicates(np.arange(3), grids, threshold=threshold)
    with pytest.raises(ValueError, match="mask"):
        find_duplicates(np.arange(3), grids, protected=np.zeros(2, bool))
    with pytest.raises(ValueError, match="codes"):
        find_duplicates(np.arange(2), grids)
    with pytest.raises(ValueError, match="auto, exact, index"):
        find_duplicates(np.arange(3), grids, method="fast")


def test_progress_adds_up_to_the_number_of_rows(planted):
    codes, grids = planted
    done = []
    find_duplicates(codes, grids, known=np.arange(95) < 40, progress=done.append)
    assert sum(done) == 95


def test_the_link_of_a_chained_row_lies_outside_its_own_star():
    """A - a - d - D: D owns d, and d is what ties it to A's copy a."""
    edges = Pairs(np.array([0, 1, 2]), np.array([2, 3, 3]), np.float32([0.9, 0.8, 0.7]))
    grouper = Grouper(np.zeros(4, bool), np.arange(4))
    grouper.add(Block(0, 4, edges))
    fates = settle(grouper, np.eye(4, dtype=np.float32), flips=False, drop_chained=False)
    assert fates.kept.tolist() == [True, True, False, False]
    assert fates.owner.tolist() == [-1, -1, 0, 1]
    assert fates.chained.tolist() == [False, True, False, False]
    assert fates.via[1] == 2
    assert fates.group.tolist() == [0, 0, 0, 0]


def test_mirroring_a_feature_twice_gives_it_back():
    features = gradient_features(textures(4))
    np.testing.assert_array_equal(mirror_features(mirror_features(features)), features)
