"""The builtin text side: hashed character n-grams, so that similar strings are near.

Weinberger et al. 2009, "Feature hashing", over n-grams within words as fastText takes them. No vocabulary, no
training; the vectors share no space with those of images.
"""

import unicodedata
from typing import Any
from zlib import crc32

import numpy as np

DIM = 512
SIZES = (2, 3, 4, 5)
_PIECES = 1 << 18


class Ngrams:
    """The text side that the builtin encoder has, as ``espalier.io.encoders.text.TextTower`` is others'."""

    joint = False
    dim = DIM

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return (n, 512) float32 unit rows."""
        return encode(texts)

    def describe(self) -> dict[str, Any]:
        """Return plain values that identify it."""
        return {"kind": "character n-grams", "sizes": list(SIZES), "dim": DIM}


def encode(texts: list[str]) -> np.ndarray:
    """Hash texts to vectors, (n, 512) float32 unit rows; the empty text has one, too.

    Case, width of characters and runs of spaces do not matter. A gram that occurs k times counts sqrt(k).
    """
    return np.array([_vector(text) for text in texts], dtype=np.float32).reshape(len(texts), DIM)


def _grams(text: str) -> list[str]:
    """Cut a text into its words and their character n-grams; ``<`` and ``>`` mark a word's ends."""
    words = [f"<{word}>" for word in unicodedata.normalize("NFKC", text).casefold().split()]
    grams = [word[i : i + n] for word in words for n in SIZES for i in range(len(word) - n + 1)]
    return grams + words or ["<>"]


def _vector(text: str) -> np.ndarray:
    codes = np.fromiter((crc32(gram.encode()) % _PIECES for gram in _grams(text)), dtype=np.int64)
    pieces, counts = np.unique(codes, return_counts=True)
    signs = np.where(pieces // DIM % 2, -1.0, 1.0)
    vector = np.bincount(pieces % DIM, signs * np.sqrt(counts), minlength=DIM)
    length = np.sqrt(vector @ vector)
    if not length:  # grams that cancel out: the first one stands for the text
        vector[pieces[0] % DIM], length = 1.0, 1.0
    return (vector / length).astype(np.float32)
