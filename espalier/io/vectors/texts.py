"""The text beside each sample: captions as they are, labels in a template, and each distinct text's vector."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.io.encoders.encoder import Encoder
from espalier.io.encoders.prompts import encode_labels
from espalier.io.warehouse.table import array_block, array_column


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a dataset with their unit vectors, (n_texts, dim) float32, and which sample has which.

    ``code`` is the row of ``texts`` of each sample, -1 where it has none. ``hashes`` are packed SimHash bits, (n_texts
    + 1, bytes) uint8; the last row, zeros, stands for samples without text. ``scored`` marks samples with a picture
    whose vector lives in the texts' space, so that a cosine between them is a score; None where no sample has one.
    """

    texts: pa.Array
    code: np.ndarray
    vectors: np.ndarray
    hashes: np.ndarray
    scored: np.ndarray | None = None

    @classmethod
    def of_samples(cls, column: pa.ChunkedArray, texts: pa.Array, vectors: np.ndarray, hashes: np.ndarray) -> "Texts":
        """Find each sample's text (null where it has none) among distinct ones."""
        rows = pc.index_in(column, value_set=texts, skip_nulls=True)
        code = pc.fill_null(rows, -1).to_numpy().astype(np.int32)
        return cls(texts, code, vectors, np.concatenate([hashes, np.zeros((1, hashes.shape[1]), np.uint8)]))

    def scoring(self, pictures: np.ndarray) -> "Texts":
        """Return them with the samples that have a picture in the texts' space: (n,) bool."""
        return replace(self, scored=pictures)

    def n_scored(self, kept: np.ndarray) -> int:
        """Count the samples among ``kept`` that have a score."""
        return 0 if self.scored is None else int((kept & self.scored & (self.code >= 0)).sum())

    def table(self) -> pa.Table:
        """Return the distinct texts with their vectors and hashes as a table."""
        columns = {"vector": array_column(self.vectors), "hash": array_column(self.hashes[:-1])}
        return pa.table({"text": self.texts, **columns})

    def fields(self) -> list[pa.Field]:
        """Return the columns that ``beside`` adds."""
        width = self.hashes.shape[1]
        fields = [pa.field("text", pa.string()), pa.field("text_hash", pa.list_(pa.uint8(), width))]
        return fields if self.scored is None else [*fields, pa.field("clip_score", pa.float32())]

    def beside(self, batches: Iterator[pa.RecordBatch], kept: np.ndarray) -> Iterator[pa.RecordBatch]:
        """Add text, text hash and (joint encoders) the cosine of image and text to the rows of ``code[kept]``."""
        codes, start = self.code[kept], 0
        scored = None if self.scored is None else self.scored[kept]
        for batch in batches:
            stop = start + len(batch)
            code = codes[start:stop]
            columns = [self.texts.take(pa.array(code, mask=code < 0)), array_column(self.hashes[code])]
            if scored is not None:
                score = np.einsum("ij,ij->i", array_block(batch["vector"]), self.vectors[code])
                columns.append(pa.array(score, pa.float32(), mask=(code < 0) | ~scored[start:stop]))
            start = stop
            names = [*batch.schema.names, *(f.name for f in self.fields())]
            yield pa.RecordBatch.from_arrays([*batch.columns, *columns], names=names)


def encode_texts(encoder: Encoder, texts: list[str], words: list[str | None], templates: tuple[str, ...]) -> np.ndarray:
    """Encode texts to (n, dim) float32 unit rows: captions as they are, labels in the first template.

    ``words`` are the labels that a text is made of, None for captions; with several templates they have their mean
    vector.
    """
    vectors = np.asarray(encoder.encode_text(texts))
    made = [row for row, said in enumerate(words) if said is not None] if len(templates) > 1 else []
    if made:
        vectors[made] = encode_labels(encoder, [str(words[row]) for row in made], templates)
    return vectors


def texts_id(encoder: Encoder, templates: tuple[str, ...]) -> str:
    """Return the id of texts' vectors: the text side's, and with several templates theirs too."""
    if len(templates) == 1:
        return str(encoder.text_id)
    return hashlib.sha256("\n".join((encoder.text_id, *templates)).encode()).hexdigest()[:16]


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
