"""What is searched: the pictures' features, and for encoders without a joint space the words' features beside them.

Both are laid out like ``Rows``. Pictures that were dropped as near copies have no vector of their own yet: their row
holds their keeper's as a stand-in, is marked as not known, and is never ranked until ``learn`` has set it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from espalier.apps.search.rows import Rows
from espalier.core.hashing import SimHash
from espalier.core.search import Explorer
from espalier.core.search.cosine import Cosine
from espalier.core.search.hamming import Hamming
from espalier.core.search.joined import Joined
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block

if TYPE_CHECKING:
    from espalier.io.encoders.encoder import Encoder


def features_of(vectors: np.ndarray, metric: str) -> np.ndarray:
    """Turn unit vectors into what a metric compares: packed hashes for ``hamming``, themselves for ``cosine``."""
    return SimHash()(vectors) if metric == "hamming" else vectors


@dataclass
class Space:
    """Features of all rows under one metric: (n, bytes) uint8 for ``hamming``, (n, dim) float32 for ``cosine``.

    ``known``, (n,) bool, are the rows that may be ranked.
    """

    features: np.ndarray
    known: np.ndarray
    metric: str

    @classmethod
    def of_pictures(cls, rows: Rows, embeddings: Mapping[str, Table], metric: str) -> "Space":
        """Read stored features; byte-exact copies share their keeper's, near copies are not known yet."""
        features = _laid_out(embeddings, "hash" if metric == "hamming" else "vector", rows.embedded)
        copies = np.flatnonzero(~rows.embedded)
        features[copies] = features[rows.keeper[copies]]
        return cls(features, rows.embedded | rows.exact, metric)

    @classmethod
    def of_words(cls, rows: Rows, embeddings: Mapping[str, Table], encoder: "Encoder", metric: str) -> "Space":
        """Make the space of captions and labels; a distinct text that is stored is not encoded again."""
        coded = rows.facts["words"].combine_chunks().dictionary_encode()
        known = coded.indices.is_valid().to_numpy(zero_copy_only=False)
        code = coded.indices.fill_null(0).to_numpy()
        vectors = _text_vectors(coded.dictionary.to_pylist(), embeddings, encoder)
        return cls(
            features_of(vectors, metric)[code] if len(vectors) else np.zeros((len(rows), 1), np.uint8), known, metric
        )

    @cached_property
    def explorer(self) -> Explorer:
        """The search over all rows, made when first asked."""
        return Explorer(self.features) if self.metric == "hamming" else Explorer(vectors=self.features)

    @property
    def joined(self) -> Joined:
        """The distances of rows."""
        return Joined([Hamming(self.features) if self.metric == "hamming" else Cosine(self.features)])

    def learn(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the features of rows from their vectors; they count as known from now on."""
        self.features[rows] = features_of(vectors, self.metric)
        self.known[rows] = True
        self.__dict__.pop("explorer", None)


def _laid_out(embeddings: Mapping[str, Table], column: str, embedded: np.ndarray) -> np.ndarray:
    """Stream a stored column of all datasets to its rows; the rows of copies stay empty."""
    places, start = np.flatnonzero(embedded), 0
    out: np.ndarray | None = None
    for table in embeddings.values():
        for batch in table.batches([column]):
            block = array_block(batch.column(0))
            if out is None:
                out = np.zeros((len(embedded), block.shape[1]), block.dtype)
            out[places[start : start + len(block)]] = block
            start += len(block)
    assert out is not None, "an embeddings table has rows"
    return out


def _text_vectors(texts: list[str], embeddings: Mapping[str, Table], encoder: "Encoder") -> np.ndarray:
    """Return the vectors of distinct texts: (n, dim) float32, from the stored tables where they have them."""
    vectors: dict[str, np.ndarray] = {}
    for table in embeddings.values():
        if not table.meta.stats.get("n_texts"):
            continue
        with table.connect() as db:
            db.register("wanted", pa.table({"text": pa.array(texts, pa.string())}))
            stored = db.sql("SELECT text, vector FROM texts JOIN wanted USING (text)").to_arrow_table()
        for batch in stored.to_batches():
            vectors |= zip(batch["text"].to_pylist(), array_block(batch["vector"]), strict=True)
    missing = [text for text in texts if text not in vectors]
    if missing:
        vectors |= zip(missing, encoder.encode_text(missing), strict=True)
    return np.stack([vectors[text] for text in texts]) if texts else np.zeros((0, 1), np.float32)
