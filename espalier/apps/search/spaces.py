"""What is searched: the pictures' features, and for encoders without a joint space the words' features beside them.

Both are laid out like ``Rows``. Pictures that were dropped as near copies have no vector of their own yet: their row
holds their keeper's as a stand-in, is marked as not known, and is never ranked until ``learn`` has set it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from espalier.apps.search.rows import Rows
from espalier.core.hashing import SimHash
from espalier.core.search import Explorer, Part
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block


def features_of(vectors: np.ndarray, metric: str) -> np.ndarray:
    """Turn unit vectors into what a metric compares: packed hashes for ``hamming``, themselves for ``cosine``."""
    return SimHash()(vectors) if metric == "hamming" else vectors


@dataclass
class Space:
    """Features of all rows under one metric.

    Attributes
    ----------
    parts : list of ndarray
        One a dataset: (n, bytes) uint8 or (n, dim) float32.
    known : ndarray of shape (n,), bool
        Rows that may be ranked.
    starts : ndarray
        As in ``Rows``.
    names : tuple of str
    """

    parts: list[np.ndarray]
    known: np.ndarray
    starts: np.ndarray
    names: tuple[str, ...]
    metric: str

    def __post_init__(self) -> None:
        self._explorer: Explorer | None = None

    @classmethod
    def of_pictures(cls, rows: Rows, embeddings: Mapping[str, Table], metric: str) -> "Space":
        """Read stored features; byte-exact copies share their keeper's, near copies are not known yet."""
        column = "hash" if metric == "hamming" else "vector"
        parts = [
            _laid_out(table, column, rows.embedded[rows.part(number)])
            for number, table in enumerate(embeddings.values())
        ]
        space = cls(parts, rows.embedded | rows.exact, rows.starts, rows.names, metric)
        copies = np.flatnonzero(~rows.embedded)
        space._put(copies, space.take(rows.keeper[copies]))
        return space

    @classmethod
    def of_words(cls, rows: Rows, embeddings: Mapping[str, Table], encoder: object, metric: str) -> "Space":
        """Make the space of captions and labels; a distinct text that is stored is not encoded again."""
        coded = rows.facts["words"].combine_chunks().dictionary_encode()
        known = coded.indices.is_valid().to_numpy(zero_copy_only=False)
        code = coded.indices.fill_null(0).to_numpy()
        vectors = _text_vectors(coded.dictionary.to_pylist(), embeddings, encoder)
        whole = features_of(vectors, metric)[code] if len(vectors) else np.zeros((len(rows), 1), np.uint8)
        return cls(np.split(whole, rows.starts[1:-1]), known, rows.starts, rows.names, metric)

    @property
    def explorer(self) -> Explorer:
        """The search over all parts, made when first asked."""
        if self._explorer is None:
            hashed = self.metric == "hamming"
            self._explorer = Explorer(
                parts=[
                    Part(name, None, x if hashed else None, None if hashed else x)
                    for name, x in zip(self.names, self.parts, strict=True)
                ]
            )
        return self._explorer

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of rows."""
        out = np.empty((len(rows), self.parts[0].shape[1]), self.parts[0].dtype)
        for i, inside, local in self._split(rows):
            out[inside] = self.parts[i][local]
        return out

    def learn(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the features of rows from their vectors; they count as known from now on."""
        self._put(rows, features_of(vectors, self.metric))
        self.known[rows] = True
        self._explorer = None

    def _put(self, rows: np.ndarray, features: np.ndarray) -> None:
        for i, inside, local in self._split(rows):
            self.parts[i][local] = features[inside]

    def _split(self, rows: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        dataset = np.searchsorted(self.starts, rows, side="right") - 1
        return [(int(i), dataset == i, rows[dataset == i] - self.starts[i]) for i in np.unique(dataset)]


def _laid_out(table: Table, column: str, embedded: np.ndarray) -> np.ndarray:
    """Stream a stored column to its rows; the rows of copies stay empty."""
    places, start = np.flatnonzero(embedded), 0
    out: np.ndarray | None = None
    for batch in table.batches([column]):
        block = array_block(batch.column(0))
        if out is None:
            out = np.zeros((len(embedded), block.shape[1]), block.dtype)
        out[places[start : start + len(block)]] = block
        start += len(block)
    assert out is not None, "an embeddings table has rows"
    return out


def _text_vectors(texts: list[str], embeddings: Mapping[str, Table], encoder: object) -> np.ndarray:
    """Return the vectors of distinct texts: (n, dim) float32, from the stored tables where they have them."""
    found: dict[str, np.ndarray] = {}
    for table in embeddings.values():
        if not table.meta.stats.get("n_texts"):
            continue
        with table.connect() as db:
            db.register("wanted", pa.table({"text": pa.array(texts, pa.string())}))
            stored = db.sql("SELECT text, vector FROM texts JOIN wanted USING (text)").to_arrow_table()
        for batch in stored.to_batches():
            found |= zip(batch["text"].to_pylist(), array_block(batch["vector"]), strict=True)
    missing = [text for text in texts if text not in found]
    if missing:
        found |= zip(missing, encoder.encode_text(missing), strict=True)  # type: ignore[attr-defined]
    return np.stack([found[text] for text in texts]) if texts else np.zeros((0, 1), np.float32)
