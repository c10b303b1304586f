"""The text side of a dataset's embeddings: captions, or label names, each distinct text encoded once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.hashing import SimHash
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
    joint : bool
        Whether the vectors live in the images' space, so that a cosine between them is a score.
    """

    texts: pa.Array
    code: np.ndarray
    vectors: np.ndarray
    hashes: np.ndarray
    joint: bool

    @classmethod
    def encode(cls, texts: pa.ChunkedArray, encoder: Any, simhash: SimHash) -> "Texts | None":
        """Encode a text column; None when the encoder has no text side or no sample has a text."""
        coded = texts.combine_chunks().dictionary_encode()
        if not encoder.has_text or not len(coded.dictionary):
            return None
        vectors = encoder.encode_text(coded.dictionary.to_pylist())
        hashes = simhash(vectors)
        none = np.zeros((1, hashes.shape[1]), np.uint8)
        code = coded.indices.fill_null(-1).to_numpy().astype(np.int32)
        return cls(coded.dictionary, code, vectors, np.concatenate([hashes, none]), encoder.joint)

    def table(self) -> pa.Table:
        """Return the distinct texts with their vectors as a table."""
        return pa.table({"text": self.texts, "vector": array_column(self.vectors)})

    def fields(self) -> list[pa.Field]:
        """Return the columns that ``beside`` adds."""
        width = self.hashes.shape[1]
        found = [pa.field("text", pa.string()), pa.field("text_hash", pa.list_(pa.uint8(), width))]
        return [*found, pa.field("clip_score", pa.float32())] if self.joint else found

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
        for batch in batches:
            code = codes[start : start + len(batch)]
            start += len(batch)
            found = [self.texts.take(pa.array(code, mask=code < 0)), array_column(self.hashes[code])]
            if self.joint:
                score = np.einsum("ij,ij->i", array_block(batch["vector"]), self.vectors[code])
                found.append(pa.array(score, pa.float32(), mask=code < 0))
            names = [*batch.schema.names, *(f.name for f in self.fields())]
            yield pa.RecordBatch.from_arrays([*batch.columns, *found], names=names)


def text_of(label_template: str) -> str:
    """Return the SQL that gives a sample's text: its caption, else its labels in the template, else NULL."""
    template = label_template.replace("'", "''")
    labels = f"format('{template}', array_to_string(labels, ', '))"
    return f"coalesce(nullif(caption, ''), CASE WHEN len(labels) > 0 THEN {labels} END)"
