import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.core.errors import UsageError
from espalier.core.hashing import SimHash, as_vectors
from espalier.core.rng import generator


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    x = generator(seed, "test").standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def hamming(a, b):
    return np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int32)


def turned(x: np.ndarray, angle: float) -> np.ndarray:
    """Turn each row by ``angle`` towards a random direction."""
    other = unit(*x.shape, seed=9)
    other -= (other * x).sum(1, keepdims=True) * x
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return (np.cos(angle) * x + np.sin(angle) * other).astype(np.float32)


@pytest.mark.parametrize(("dim", "bits"), [(512, 512), (64, 512), (100, 256), (768, 512), (1, 8)])
def test_a_code_has_the_length_that_was_asked(dim, bits):
    codes = SimHash(bits)(unit(7, dim))
    assert codes.shape == (7, bits // 8)
    assert codes.dtype == np.uint8


@pytest.mark.parametrize("dim", [64, 512, 900])
@pytest.mark.parametrize("angle", [0.1, 0.8, np.pi / 2, 2.5])
def test_the_share_of_differing_bits_is_the_angle_over_pi(dim, angle):
    x = unit(400, dim)
    share = hamming(SimHash(512)(x), SimHash(512)(turned(x, angle))) / 512
    assert share.mean() == pytest.approx(angle / np.pi, abs=0.01)
    assert np.cos(np.pi * share).mean() == pytest.approx(np.cos(angle), abs=0.03)


def test_orthonormal_planes_estimate_better_than_independent_ones():
    """Guards the rotation: plain Gaussian hyperplanes have a greater variance at dim = bits."""
    x = unit(1000, 512)
    y = turned(x, 1.0)
    ours = hamming(SimHash(512)(x), SimHash(512)(y)) / 512
    planes = generator(3, "independent").standard_normal((512, 512))
    plain = ((x @ planes > 0) != (y @ planes > 0)).mean(axis=1)
    assert ours.std() < 0.9 * plain.std()


def test_never_negative_vectors_still_differ_after_the_rotation_but_not_by_signs():
    x = np.abs(unit(50, 256))
    assert len(np.unique(SimHash("sign")(x), axis=0)) == 1
    assert len(np.unique(SimHash(256)(x), axis=0)) == 50


def test_signs_are_packed_with_zeros_at_the_end():
    codes = SimHash("sign")(np.array([[0.5, -0.5, 0.0, 1.0, 1.0, -1.0, 1.0, 1.0, 0.2]], np.float32))
    assert codes.tolist() == [[0b10011011, 0b10000000]]
    assert SimHash("sign").length(9) == 9


@given(st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_code_does_not_depend_on_the_batch(size, seed):
    x = unit(41, 96, seed)
    hasher = SimHash(128, seed=seed)
    parts = [hasher(x[start : start + size]) for start in range(0, 41, size)]
    assert np.array_equal(np.concatenate(parts), hasher(x))


def test_blocks_do_not_change_the_codes(monkeypatch):
    x = unit(300, 64)
    whole = SimHash(512)(x)
    monkeypatch.setattr("espalier.core.hashing._BLOCK_BYTES", 40_000)
    assert np.array_equal(SimHash(512)(x), whole)


def test_another_seed_is_another_rotation():
    x = unit(20, 64)
    assert not np.array_equal(SimHash(64, seed=0)(x), SimHash(64, seed=1)(x))


def test_unpacked_codes_are_unit_vectors_whose_dot_product_tells_the_distance():
    codes = SimHash("sign")(unit(10, 50))
    rows = as_vectors(codes, 50)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    distance = hamming(codes[:, None], codes)
    assert np.allclose(rows @ rows.T, 1 - 2 * distance / 50, atol=1e-6)


def test_no_vectors_give_no_codes():
    assert SimHash(512)(np.empty((0, 64), np.float32)).shape == (0, 64)


@pytest.mark.parametrize("bits", [0, -8, 12, 7.5, "signs"])
def test_a_length_that_is_none_is_refused(bits):
    with pytest.raises(UsageError, match="multiple of 8"):
        SimHash(bits)
