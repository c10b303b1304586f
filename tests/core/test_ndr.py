"""NDR: the plugin's parameters, and each of its faults that must not come back."""

from __future__ import annotations

import numpy as np
import pytest

from espalier.core.dedup.ndr import EXPONENT, Ndr, hash_keys, ndr_features, ndr_grid_features
from espalier.core.errors import EspalierError, UsageError


def textures(n, seed=0, side=48):
    """Smooth random colour fields: unlike one another, rich in gradients."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((n, 7, 7, 3))
    at = np.linspace(0, 5.999, side)
    low, part = at.astype(int), (at % 1)[:, None]
    tall = coarse[:, low] * (1 - part[None, :, :, None]) + coarse[:, low + 1] * part[None, :, :, None]
    wide = tall[:, :, low] * (1 - part[:, :, None].reshape(1, 1, side, 1)) + tall[:, :, low + 1] * part.reshape(
        1, 1, side, 1
    )
    return (wide * 255).astype(np.uint8)


def noisy(images, amount, seed=1):
    noise = np.random.default_rng(seed).normal(0, amount, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def copies():
    """40 textures, and a noisy copy of each of the first 25."""
    images = textures(40)
    return ndr_features([*images, *noisy(images[:25], 12)])


def test_copies_go_whatever_their_hash_keys_and_strangers_stay(copies):
    """Non-regression: the original compares only rows with equal keys, so most copies stay."""
    result = Ndr()(copies)
    assert result.kept.sum() == 40
    pair = result.kept[:25].astype(int) + result.kept[40:]
    assert (pair == 1).all()
    gone = np.flatnonzero(~result.kept)
    assert (result.duplicate_of[gone] % 40 == gone % 40).all()
    assert result.kept[result.duplicate_of[gone]].all()
    keys = hash_keys(copies, 32, 0)
    assert (keys[:25] != keys[40:]).any(axis=1).sum() > 3  # what the original cannot see


def test_similarity_is_the_fiftieth_power_of_the_cosine(copies):
    result = Ndr()(copies)
    gone = np.flatnonzero(~result.kept)
    left, right = copies[gone].astype(float), copies[result.duplicate_of[gone]].astype(float)
    cosine = (left * right).sum(1) / np.sqrt((left**2).sum(1) * (right**2).sum(1))
    np.testing.assert_allclose(result.similarity[gone], cosine**EXPONENT, rtol=1e-5)
    assert (result.similarity[gone] >= 0.5).all()


def grids_of(n, seed=0):
    return np.random.default_rng(seed).integers(0, 65_536, (n, 243)).astype(np.uint16)


@pytest.mark.parametrize("threshold", [0.5, 0.99, 0.999999, 1.0])
@pytest.mark.parametrize("per_subset", [False, True])
def test_equal_grids_are_copies_at_every_threshold_with_a_score_of_one(threshold, per_subset):
    """Non-regression: features are rounded, and a product of 0.9988 to the 50th power is 0.94; 85 of 300 stayed."""
    features = ndr_grid_features(np.concatenate([grids_of(300), grids_of(300)]))
    result = Ndr(sim_threshold=threshold, per_subset=per_subset)(features)
    gone = np.flatnonzero(~result.kept)
    assert len(gone) == 300
    np.testing.assert_array_equal(result.duplicate_of[gone], (gone + 300) % 600)
    assert (result.similarity[gone] == 1).all()


@pytest.mark.parametrize("picture", ["photo", "plain"])
def test_no_score_exceeds_one(picture):
    rng = np.random.default_rng(3)
    base = grids_of(1) if picture == "photo" else np.full((1, 243), 30_000)
    grids = np.clip(base + rng.integers(0, 40, (400, 243)), 0, 65_535).astype(np.uint16)
    result = Ndr(sim_threshold=0.01)(ndr_grid_features(grids))
    assert 0 < result.similarity.max() <= 1


def test_at_a_threshold_of_one_only_equal_features_are_copies():
    """Cosines that float32 would round to 1 are not 1."""
    one = np.zeros((1, 385))
    one[0, :2] = 2048, 1
    other = one.copy()
    other[0, 1] = 2
    rows = (np.concatenate([one, other, one]) / 2048).astype(np.float32)
    assert Ndr(sim_threshold=0.9999)(rows).kept.sum() == 1
    result = Ndr(sim_threshold=1.0)(rows)
    assert result.kept.sum() == 2
    assert result.kept[1]


def test_each_subset_by_itself_is_the_plugin_on_each_subset(copies):
    """Datumaro's prune calls the plugin for one subset after the other, so copies across subsets stay."""
    subsets = np.array(["train", "train", "test"])[np.arange(65) % 3]
    result = Ndr(per_subset=True, duplicated_subset="gone")(copies, subsets)
    assert result.kept.sum() > Ndr()(copies).kept.sum()
    for name in ("train", "test"):
        rows = subsets == name
        alone = Ndr()(copies[rows])
        np.testing.assert_array_equal(result.kept[rows], alone.kept)
        np.testing.assert_array_equal(result.similarity[rows], alone.similarity)
    gone = np.flatnonzero(~result.kept)
    assert (subsets[result.duplicate_of[gone]] == subsets[gone]).all()
    assert set(result.subset[gone]) == {"gone"}


@pytest.mark.parametrize("num_cut", [0, 1, 20, 50, 64, 65])
def test_num_cut_is_shared_out_by_the_sizes_of_the_subsets(copies, num_cut):
    subsets = np.array(["a", "b", "b", "b", "c"])[np.arange(65) % 5]
    result = Ndr(per_subset=True, num_cut=num_cut)(copies, subsets)
    kept = [result.kept[subsets == name].sum() for name in "abc"]
    assert sum(kept) == num_cut
    assert np.abs(np.array(kept) - num_cut * np.array([13, 39, 13]) / 65).max() < 1


def test_an_index_is_used_for_many_rows_and_its_recall_is_measured(monkeypatch):
    features = ndr_grid_features(np.concatenate([grids_of(1500), grids_of(1500)]))
    exact = Ndr()(features)
    assert exact.search.describe() == {"pair_search": "exact", "pair_recall": 1.0, "pairs_checked": 0}
    monkeypatch.setattr("espalier.core.dedup.near.neighbours.EXACT_LIMIT", 1000)
    result = Ndr()(features)
    assert result.search.method == "index"
    assert result.search.recall_pairs > 300
    assert 0.95 < result.search.recall <= 1
    by_subset = Ndr(per_subset=True)(features, np.array(["a", "b"])[np.arange(3000) % 5 // 4])
    assert by_subset.search.method == "index"  # of the larger subset; the other one is below the limit
    assert 0 < by_subset.search.recall_pairs < result.search.recall_pairs


def test_a_negative_image_is_no_copy():
    """Non-regression: an even power of a cosine of -1 is 1."""
    feature = ndr_features(list(textures(1)))
    both = np.concatenate([feature, -feature])
    assert Ndr()(both).kept.all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_repeats_the_result_and_zero_is_a_seed(copies, seed):
    """Non-regression: the original reads seed 0 as no seed."""
    runs = [Ndr(num_cut=20, seed=seed)(copies).kept for _ in range(2)]
    np.testing.assert_array_equal(*runs)
    assert (Ndr(num_cut=20, seed=seed + 1)(copies).kept != runs[0]).any()


def test_the_global_random_state_is_left_alone(copies):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Ndr(num_cut=10)(copies)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_black_images_have_features_and_are_copies_of_each_other():
    """Non-regression: the original divides zero by zero and keeps NaN."""
    images = [np.zeros((20, 30, 3), np.uint8), np.zeros((40, 9), np.uint8), *textures(3)]
    features = ndr_features(images)
    assert np.isfinite(features).all()
    result = Ndr()(features)
    assert result.kept.sum() == 4
    assert result.kept[:2].sum() == 1


@pytest.mark.parametrize("over", ["random", "similarity"])
@pytest.mark.parametrize("under", ["uniform", "inverse"])
@pytest.mark.parametrize("num_cut", [0, 1, 17, 40, 41, 65])
def test_exactly_num_cut_rows_are_kept(copies, over, under, num_cut):
    """Non-regression: 0 was ignored; prune's ndr kept 1 - ratio."""
    assert Ndr(num_cut=num_cut, over_sample=over, under_sample=under)(copies).kept.sum() == num_cut


def test_more_than_there_is_cannot_be_kept(copies):
    with pytest.raises(EspalierError, match="cannot keep 66 of 65"):
        Ndr(num_cut=66)(copies)


def test_oversampling_by_similarity_brings_back_the_least_similar(copies):
    plain = Ndr()(copies)
    result = Ndr(num_cut=50, over_sample="similarity")(copies)
    back = result.kept & ~plain.kept
    assert result.similarity[back].max() <= result.similarity[~result.kept].min()
    assert (result.duplicate_of[result.kept] == -1).all()


def test_inverse_undersampling_prefers_rare_keys():
    """Seventy rows look alike and mostly share a key, ten others have keys of their own."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((80, 80)))[0]
    rows = np.concatenate([axes[0] + 0.1 * axes[1:71], axes[70:]])
    rows = (np.rint(rows / np.linalg.norm(rows, axis=1, keepdims=True) * 2048) / 2048).astype(np.float32)
    share = {}
    for under in ("uniform", "inverse"):
        runs = [Ndr(num_cut=20, under_sample=under, seed=seed, sim_threshold=1.0)(rows).kept for seed in range(30)]
        share[under] = np.mean([kept[70:].mean() for kept in runs])
    assert 0.15 < share["uniform"] < 0.35
    assert share["inverse"] > 0.6


def test_a_greater_threshold_keeps_more(copies):
    kept = [Ndr(sim_threshold=threshold)(copies).kept.sum() for threshold in (0.01, 0.5, 0.99, 1.0)]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1]


def test_only_the_working_subset_loses_rows(copies):
    subsets = np.where(np.arange(65) % 2 == 0, "train", "test")
    result = Ndr(working_subset="train", duplicated_subset="gone")(copies, subsets)
    assert result.kept[subsets == "test"].all()
    assert set(result.subset[~result.kept]) <= {"gone"}
    np.testing.assert_array_equal(result.subset[result.kept], subsets[result.kept])
    some = Ndr(working_subset="train", num_cut=5)(copies, subsets)
    assert some.kept[subsets == "train"].sum() == 5
    with pytest.raises(UsageError, match="Known: test, train"):
        Ndr(working_subset="val")(copies, subsets)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"algorithm": "sift"}, "Known: gradient"),
        ({"over_sample": "most"}, "Known: random, similarity"),
        ({"under_sample": "least"}, "Known: uniform, inverse"),
        ({"block_shape": (0, 4)}, "block_shape"),
        ({"hash_dim": 0}, "hash_dim"),
        ({"sim_threshold": 0.0}, "sim_threshold"),
        ({"num_cut": -1}, "num_cut"),
        ({"working_subset": "a", "duplicated_subset": "a"}, "both 'a'"),
        ({"working_subset": "a", "per_subset": True}, "per_subset has no effect with working_subset"),
    ],
)
def test_wrong_parameters_are_refused_before_any_work(parameters, message):
    with pytest.raises(UsageError, match=message):
        Ndr(**parameters)


def test_more_bits_than_entries_are_refused(copies):
    with pytest.raises(UsageError, match="hash_dim"):
        Ndr(hash_dim=5000)(copies)


def test_block_shape_changes_the_feature():
    """Non-regression: the original checks block_shape and then always takes 8 x 8 blocks."""
    images = list(textures(2))
    assert ndr_features(images, (4, 5)).shape == (2, 12 * 20 + 1)
    assert ndr_features(images).shape == (2, 12 * 64 + 1)


def test_features_have_unit_norm_for_every_kind_of_image():
    image = textures(1)[0]
    kinds = [image, image[:, :, 0], image[:, :, :1], np.dstack([image, image[:, :, 0]]), image / 255.0, image[:1, :1]]
    features = ndr_features(kinds)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=2e-3)
    np.testing.assert_array_equal(features[0], features[3])
    np.testing.assert_array_equal(features[1], features[2])
    with pytest.raises(ValueError, match="grey or colour"):
        ndr_features([np.zeros((4, 4, 2), np.uint8)])


def test_grids_serve_as_input_and_keep_exactly_the_target():
    grids = np.stack([(t.reshape(9, 2, 9, 2, 3).mean((1, 3)) * 257).astype(np.uint16) for t in textures(30, side=18)])
    grids = np.concatenate([grids, grids]).reshape(60, 243)
    features = ndr_grid_features(grids)
    assert Ndr()(features).kept.sum() == 30
    for target in (7, 30, 45):
        assert Ndr(num_cut=target)(features).kept.sum() == target


def test_an_empty_set_is_fine():
    result = Ndr()(np.empty((0, 385), np.float32))
    assert len(result.kept) == 0


def test_a_single_image_is_kept():
    """Non-regression: the original reads the first letter of a single image's key as all keys."""
    result = Ndr(num_cut=1, under_sample="inverse")(ndr_features(list(textures(1))))
    assert result.kept.tolist() == [True]


def test_large_images_give_the_same_feature_strip_by_strip(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (211, 130, 3), np.uint8)
    whole = ndr_features([image])
    for strip in (1, 7, 1000):
        monkeypatch.setattr("espalier.core.dedup.ndr.STRIP", strip)
        np.testing.assert_allclose(ndr_features([image]), whole, atol=1 / 2048)
