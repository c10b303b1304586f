"""What an encoder is to the rest of the house.

Here live the protocol and the batch that it gives. Not here: any encoder, and where vectors are kept.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class EncodedBatch:
    """The vectors of some consecutive items, in the order in which the items were given.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        The row numbers of the items that were encoded.
    vectors : ndarray of shape (m, d), float32
        Finite and of unit length.
    errors : list of (int, str)
        The row numbers of the items in between that were not, each with a short reason.
    """

    rows: np.ndarray
    vectors: np.ndarray
    errors: list[tuple[int, str]]


class Encoder(Protocol):
    """Turns images, and where ``has_text`` says so texts, into unit vectors."""

    @property
    def id(self) -> str:
        """Short hex content hash of graph, weights, preprocessing and precision."""

    @property
    def dim(self) -> int:
        """Number of components of an image's vector."""

    @property
    def has_text(self) -> bool:
        """Whether ``encode_text`` works."""

    @property
    def joint(self) -> bool:
        """Whether texts and images share one space, so that the cosine between them is a score."""

    @property
    def text_id(self) -> str:
        """The id of texts' vectors: the encoder's own where they share the images' space."""

    @property
    def text_dim(self) -> int:
        """Number of components of a text's vector, 0 where there is no text side."""

    def describe(self) -> dict[str, Any]:
        """Tell model, input, output, preprocessing, precision and device, as plain JSON values."""

    def encode_images(
        self,
        items: Iterable[tuple[int, str]],
        read: Callable[[str], bytes],
        *,
        threads: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[EncodedBatch]:
        """Encode ``(row, uri)`` items in order, in bounded memory; a bad image is an error of its row.

        Parameters
        ----------
        items : iterable of (int, str)
            Consumed lazily.
        read : callable
            Gives the bytes of a uri; called from several threads.
        threads : int, optional
            Threads that read and decode; by default one a core. Never changes a vector.
        progress : callable, optional
            Called with the number of items that have just been finished.
        """

    def encode_text(self, texts: list[str]) -> np.ndarray:
        """Encode texts to an array of shape (n, d_text), float32, unit rows.

        Raises
        ------
        EspalierError
            When the encoder has no text side.
        """
