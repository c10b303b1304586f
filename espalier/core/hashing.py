"""SimHash: short binary codes whose Hamming distance estimates the angle between vectors.

Charikar 2002, "Similarity estimation techniques from rounding algorithms", with the random hyperplanes taken
orthonormal in blocks (super-bit LSH, Ji et al. 2012), which lowers the variance of the estimate. Differs: vectors and
rotation are rounded to integers so small that every product and sum is exact in float64, so a code depends neither on
the batch that a vector is in nor on the number of threads. ``bits="sign"`` takes the plain signs of a vector, as
Datumaro does; when an encoder's outputs are never negative they say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from espalier.core.errors import UsageError
from espalier.core.rng import generator

_VECTOR_SCALE = float(2**20)
_ROTATION_SCALE = float(2**18)
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class SimHash:
    """Turn vectors into packed sign bits after a seeded orthonormal rotation.

    A code has ``bits`` bits, a multiple of 8, perhaps more than the dimension (then rotations are stacked); ``"sign"``
    takes one a component, without rotation. Codes of different seeds must not be compared.
    """

    bits: int | Literal["sign"] = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits == "sign":
            return
        if not isinstance(self.bits, int) or self.bits < 8 or self.bits % 8:
            raise UsageError(f"bits={self.bits!r} is no length of a hash.", "Use a multiple of 8, or 'sign'.")

    def length(self, dim: int) -> int:
        """Return the number of meaningful bits of a code for vectors of ``dim`` components."""
        return dim if self.bits == "sign" else int(self.bits)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Hash finite vectors, (n, d) float32, at most a few units long: (n, ceil(length(d) / 8)) uint8.

        Packed as ``numpy.packbits`` does, first bit highest; the last byte is filled with zeros.
        """
        if vectors.ndim != 2:
            raise ValueError(f"vectors must be (n, d), not {vectors.shape}")
        if self.bits == "sign":
            return np.packbits(vectors > 0, axis=1)
        n, dim = vectors.shape
        rotation = _rotation(dim, int(self.bits), self.seed)
        codes = np.empty((n, int(self.bits) // 8), dtype=np.uint8)
        step = max(1, _BLOCK_BYTES // (8 * max(dim, int(self.bits))))
        for start in range(0, n, step):
            block = np.rint(vectors[start : start + step].astype(np.float64) * _VECTOR_SCALE)
            codes[start : start + step] = np.packbits(block @ rotation > 0, axis=1)
        return codes


@lru_cache(maxsize=4)
def _rotation(dim: int, bits: int, seed: int) -> np.ndarray:
    """Return the (dim, bits) float64 matrix of hyperplanes, scaled and rounded to integers."""
    blocks = []
    for block in range(-(-bits // dim)):
        normal = generator(seed, "simhash", dim, block).standard_normal((dim, dim))
        q, r = np.linalg.qr(normal)
        blocks.append(q * np.where(np.diag(r) < 0, -1.0, 1.0))
    rounded = np.rint(np.concatenate(blocks, axis=1)[:, :bits] * _ROTATION_SCALE)
    rounded.setflags(write=False)
    return rounded


def as_vectors(codes: np.ndarray, length: int) -> np.ndarray:
    """Unpack codes, (n, b) uint8, to unit vectors of +-1/sqrt(length), (n, length) float32, that can be clustered.

    The dot product of two rows is ``1 - 2 * hamming / length``.
    """
    bits = np.unpackbits(codes, axis=1, count=length)
    scale = np.float32(1 / np.sqrt(length))
    return np.where(bits, scale, -scale)
