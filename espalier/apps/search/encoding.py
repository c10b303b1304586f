"""The encoder behind the embeddings that are explored: what it can compare, and the vectors of what is asked with.

It tells what a user must know: texts cut off, words that are searched in labels, pictures that nothing compares with.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from espalier.apps.search.rows import Rows
from espalier.core.errors import EspalierError
from espalier.io.files.blobs import read_bytes
from espalier.io.home import Home
from espalier.io.warehouse import Table

if TYPE_CHECKING:
    from espalier.io.encoders.encoder import Encoder


class Encoding:
    """The one encoder of several datasets' embeddings, opened when something has to be encoded.

    ``tell`` takes each sentence that the user should know.
    """

    def __init__(self, home: Home, embeddings: Mapping[str, Table], rows: Rows, tell: Callable[[str], object]) -> None:
        self.home, self.embeddings, self.rows, self.tell = home, embeddings, rows, tell
        meta = next(iter(embeddings.values())).meta
        self._params = meta.params
        self._id, self._of = str(meta.stats["encoder_id"]), str(meta.stats.get("vectors_of", ""))
        self.name = str(meta.stats["encoder"])
        self.brought = self._of == "brought"  # the vectors are the user's own, so that no encoder makes more of them

    @cached_property
    def encoder(self) -> "Encoder":
        """The encoder itself, which must still be the one that made the vectors."""
        from espalier.io.encoders import load_encoder

        encoder = load_encoder(
            self._params["encoder"],
            device=self._params["device"],
            precision=self._params["precision"],
            cache_dir=self.home.models,
            max_pixels=self._params["max_pixels"],
        )
        if not self.brought and self._id not in (encoder.id, encoder.text_id):
            name = next(iter(self.embeddings))
            raise EspalierError(
                f"The encoder {self._params['encoder']!r} is no longer the one that made the embeddings of {name}.",
                f"Make them anew: materialize the asset embeddings of {name} in the page (espalier ui).",
            )
        return encoder

    @property
    def joint(self) -> bool:
        """Whether words compare with the vectors of pictures."""
        return bool(self.encoder.joint) and not self.brought

    def pictures(self, uris: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
        """Encode pictures: the vectors of those that can be read, and the reasons of the others by place."""
        if not uris:
            return np.zeros((0, 0), np.float32), {}
        if self.brought or (self._of == "texts" and not self.encoder.joint):
            why = "were brought" if self.brought else "are of texts"
            raise EspalierError(
                f"The vectors of {', '.join(self.rows.names)} {why}, so that no picture can be compared with them.",
                "Ask with a sample that has one (--query-item), or with words (--query-str).",
            )
        batches = list(self.encoder.encode_images(enumerate(uris), read_bytes))
        return np.concatenate([b.vectors for b in batches]), dict(e for b in batches for e in b.errors)

    def texts(self, texts: list[str]) -> np.ndarray:
        """Encode texts, and tell what a search for words means with this encoder: (n, dim) float32."""
        from espalier.io.encoders.text import TextTower

        if not self.encoder.has_text:
            raise EspalierError(
                f"The encoder {self.name} has no text side.",
                "Search by pictures, or embed with a two-tower encoder: --option encoder=FOLDER.",
            )
        if not self.joint:
            self._check_words()
        if isinstance(self.encoder.text, TextTower):
            tokens = self.encoder.text.tokens
            for text in texts:
                if tokens.tokenizer.encode(text).overflowing:
                    self.tell(
                        f"The text {text[:40]!r}... has more than {tokens.length} tokens; what is beyond is not read."
                    )
        return np.asarray(self.encoder.encode_text(texts))

    def _check_words(self) -> None:
        """Refuse words that nothing compares with, and tell where the others are searched."""
        made_by = "embeddings that were brought" if self.brought else f"the encoder {self.name}"
        if not self.rows.facts["words"].null_count < len(self.rows):
            raise EspalierError(
                f"{', '.join(self.rows.names)}: no captions and no labels to search, and {made_by} "
                "cannot compare words with pictures.",
                "Embed with a two-tower encoder: --option encoder=FOLDER.",
            )
        if self._of != "texts":
            made_by = made_by[0].upper() + made_by[1:]
            self.tell(f"{made_by} cannot compare words with pictures: the words are searched in captions and labels.")


def check_same_encoder(embeddings: Mapping[str, Table]) -> None:
    """Refuse datasets of several encoders: their vectors say nothing about each other."""
    ids = {name: table.meta.stats["encoder_id"] for name, table in embeddings.items()}
    if len(set(ids.values())) > 1:
        listed = ", ".join(f"{n}: {t.meta.stats['encoder']} ({ids[n][:8]})" for n, t in embeddings.items())
        raise EspalierError(
            f"These datasets were embedded by different encoders, so they cannot be searched together ({listed}).",
            "Explore them one by one, or embed them with one encoder.",
        )
