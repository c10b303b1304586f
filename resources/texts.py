"""The text beside each sample: captions as they are, labels in a template; each distinct text encoded once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.hashing import SimHash
from resources.encoders.prompts import encode_labels
from resources.warehouse.table import array_block, array_column


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a dataset with their vectors, and which sample has which.

    Attributes
    ----------
    texts : pyarrow.Array of str
        Distinct texts.
    code : ndarray of shape (n,), int32
        Row of ``texts`` of each sample; -1 where it has none.
    vectors : ndarray of shape (n_texts, dim), float32
        Unit vectors.
    hashes : ndarray of shape (n_texts + 1, bytes), uint8
        Packed SimHash bits; the last row, zeros, stands for samples without text.
    scored : ndarray of shape (n,), bool, or None
        Samples with a picture whose vector lives in the texts' space, so that a cosine between them is a score;
        None where no sample has one.
    """

    texts: pa.Array
    code: np.ndarray
    vectors: np.ndarray
    hashes: np.ndarray
    scored: np.ndarray | None = None

    @classmethod
    def encode(
        cls, rows: pa.Table, encoder: Any, simhash: SimHash, templates: tuple[str, ...], *, scored: bool
    ) -> "Texts | None":
        """Encode the texts of samples.

        Parameters
        ----------
        rows : pyarrow.Table
            A row a sample: ``text``, ``words`` (its labels where the text is made of them, else null), ``uri``.
        encoder : Encoder
        simhash : SimHash
        templates : tuple of str
            Of labels. ``text`` is written in the first; with several, a text of labels has their mean vector.
        scored : bool
            Whether the samples' vectors are of this encoder's pictures.

        Returns
        -------
        Texts or None
            None when the encoder has no text side or no sample has a text.
        """
        coded = rows["text"].combine_chunks().dictionary_encode()
        if not encoder.has_text or not len(coded.dictionary):
            return None
        vectors = encoder.encode_text(coded.dictionary.to_pylist())
        code = coded.indices.fill_null(-1).to_numpy().astype(np.int32)
        if len(templates) > 1:
            words = rows["words"].take(pa.array(_first(code, len(coded.dictionary))))
            made = np.flatnonzero(words.is_valid().to_numpy())
            if len(made):
                vectors[made] = encode_labels(encoder, words.drop_null().to_pylist(), templates)
        pictures = pc.not_equal(rows["uri"], "").to_numpy() if scored and encoder.joint else None
        return cls(coded.dictionary, code, vectors, _hashed(vectors, simhash), pictures)

    @classmethod
    def of_vectors(cls, texts: pa.ChunkedArray, vectors: np.ndarray, simhash: SimHash) -> "Texts":
        """Make it of texts that have vectors already: (n, dim) float32, one a sample."""
        coded = texts.combine_chunks().dictionary_encode()
        code = coded.indices.to_numpy().astype(np.int32)
        found = vectors[_first(code, len(coded.dictionary))]
        return cls(coded.dictionary, code, found, _hashed(found, simhash))

    def table(self) -> pa.Table:
        """Return the distinct texts with their vectors as a table."""
        return pa.table({"text": self.texts, "vector": array_column(self.vectors)})

    def fields(self) -> list[pa.Field]:
        """Return the columns that ``beside`` adds."""
        width = self.hashes.shape[1]
        found = [pa.field("text", pa.string()), pa.field("text_hash", pa.list_(pa.uint8(), width))]
        return found if self.scored is None else [*found, pa.field("clip_score", pa.float32())]

    def beside(self, batches: Iterator[pa.RecordBatch], kept: np.ndarray) -> Iterator[pa.RecordBatch]:
        """Add text, text hash and (joint encoders) the cosine of image and text to rows with vectors.

        Parameters
        ----------
        batches : iterator of RecordBatch
            Rows with ``vector``, in the order of ``code[kept]``.
        kept : ndarray of shape (n,), bool
            Which samples the batches hold.
        """
        codes, start = self.code[kept], 0
        scored = None if self.scored is None else self.scored[kept]
        for batch in batches:
            stop = start + len(batch)
            code = codes[start:stop]
            found = [self.texts.take(pa.array(code, mask=code < 0)), array_column(self.hashes[code])]
            if scored is not None:
                score = np.einsum("ij,ij->i", array_block(batch["vector"]), self.vectors[code])
                found.append(pa.array(score, pa.float32(), mask=(code < 0) | ~scored[start:stop]))
            start = stop
            names = [*batch.schema.names, *(f.name for f in self.fields())]
            yield pa.RecordBatch.from_arrays([*batch.columns, *found], names=names)


def _hashed(vectors: np.ndarray, simhash: SimHash) -> np.ndarray:
    hashes = simhash(vectors)
    return np.concatenate([hashes, np.zeros((1, hashes.shape[1]), np.uint8)])


def _first(code: np.ndarray, n: int) -> np.ndarray:
    """Return the first row of each of n codes."""
    found, rows = np.unique(code, return_index=True)
    return np.asarray(rows[found >= 0][:n])


def text_columns(template: str) -> str:
    """Return the SQL of ``text`` (a sample's caption, else its labels in the template) and ``words`` (those labels).

    Both are NULL where there is nothing, ``words`` also where the text is a caption.
    """
    written = template.replace("'", "''")
    labels = "array_to_string(labels, ', ')"
    made = "nullif(caption, '') IS NULL AND len(labels) > 0"
    return (
        f"coalesce(nullif(caption, ''), CASE WHEN {made} THEN format('{written}', {labels}) END) AS text, "
        f"CASE WHEN {made} THEN {labels} END AS words"
    )
