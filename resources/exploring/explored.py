"""Stored datasets opened for exploring, and the search itself.

The copies that ``dedup_set`` dropped are found too. A byte-exact copy has its keeper's vector. A near copy gets its own
when its keeper is among the best: it is encoded on the spot and all is ranked again, so every distance is a true one.
A near copy is therefore found through the sample that it copies; at most ``max(4 k, 256)`` are encoded a question.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from espalier.errors import EspalierError, UsageError
from resources.blobs import read_bytes
from resources.exploring.answer import DEFAULT_TOPK, Answer, Asked, Result
from resources.exploring.filters import check_subsets, mask
from resources.exploring.indexed import Indexed
from resources.exploring.queries import Found, find_picture
from resources.exploring.ranking import Question, rank
from resources.exploring.rows import Rows
from resources.exploring.spaces import Space, features_of
from resources.home import Home
from resources.warehouse import Table

LEAST_COPIES = 256


class Explored:
    """Datasets that are searched together; kept in memory for repeated questions.

    Parameters
    ----------
    home : Home
    datasets : sequence of str
        Names of datasets with embeddings, all of one encoder.
    copies : bool
        Find the copies that were dropped, too.
    tell : callable
        Takes each sentence that the user should know.

    Raises
    ------
    EspalierError
        When a dataset has no embeddings, or their encoders differ.
    """

    def __init__(
        self,
        home: Home,
        datasets: Sequence[str],
        *,
        copies: bool = True,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        store = home.store()
        names = tuple(dict.fromkeys(datasets))
        missing = [name for name in names if store.get("embeddings", name) is None]
        if missing or not names:
            first = missing[0] if missing else "DATASET"
            raise EspalierError(
                f"No embeddings yet: {', '.join(missing) or 'no dataset is named'}.", f"Run: espalier prune {first}"
            )
        self.home, self.tell = home, tell
        self.embeddings = {name: store.need("embeddings", name) for name in names}
        _same_encoder(self.embeddings)
        self.rows = Rows.read(home, self.embeddings, copies=copies)
        if self.rows.n_apart:
            tell(f"{self.rows.n_apart:,} dropped samples are not searched: what they copy is not explored here.")
        self._pictures: dict[str, Space] = {}
        self._words: dict[str, Space] = {}
        self._vectors: dict[int, np.ndarray] = {}
        self._index: Indexed | None = None

    def ask(self, asked: Asked) -> Answer:
        """Answer a question.

        Raises
        ------
        EspalierError, UsageError
            When a query cannot be read or found, or filters or options make no sense.
        """
        if asked.item_subset is not None:
            check_subsets(self.home, self.rows, [asked.item_subset])
        passes = mask(self.home, self.rows, asked.subsets, asked.labels, asked.where)
        passes = np.ones(len(self.rows), bool) if passes is None else passes
        found = {
            place: find_picture(query, self.home, self.rows, asked.item_subset)
            for place, query in enumerate(asked.queries)
            if query.kind != "text"
        }
        own = np.array([f.row for f in found.values() if f.row >= 0], np.int64)
        if asked.others:
            passes[own] = False
        if asked.unique:
            passes = _one_a_group(self.rows, passes)
        questions = self._questions(asked, found)
        left = int(np.count_nonzero(passes))
        if asked.topk > left and asked.topk != DEFAULT_TOPK:
            self.tell(f"top-k is {asked.topk:,}, but only {left:,} samples can be shown.")
        k = min(asked.topk, left)
        if asked.approximate and k:
            passes &= self._nearby(questions, k + len(own))
        near = self._near_copies(asked, questions) if k else np.zeros(0, np.int64)
        if len(near):
            # First the samples that were kept, also those that only stand for a copy that passes the filters.
            stands = passes.copy()
            stands[self.rows.keeper[near[passes[near]]]] = True
            rows = rank(questions, asked, k, stands)[0]
            groups = np.concatenate([self.rows.keeper[rows], self.rows.keeper[own]])
            self._learn_copies(near[passes[near] & np.isin(self.rows.keeper[near], groups)], groups, asked)
        rows, distance, query = rank(questions, asked, k, passes)
        pictures = tuple((asked.queries[place], f.uri) for place, f in found.items())
        recall = self._index.recall if asked.approximate and self._index else None
        return Answer(asked, self._results(rows, distance, query), pictures, self._stats("encoder"), recall)

    @cached_property
    def encoder(self) -> Any:
        """The encoder that made the vectors, opened when something has to be encoded."""
        from resources.encoders import load_encoder

        params = next(iter(self.embeddings.values())).meta.params
        encoder = load_encoder(
            params["encoder"],
            device=params["device"],
            precision=params["precision"],
            cache_dir=self.home.models,
            max_pixels=params["max_pixels"],
        )
        if not self._brought and self._stats("encoder_id") not in (encoder.id, encoder.text_id):
            name = next(iter(self.embeddings))
            raise EspalierError(
                f"The encoder {params['encoder']!r} is no longer the one that made the embeddings of {name}.",
                f"Make them anew: espalier prune {name}",
            )
        return encoder

    def _questions(self, asked: Asked, found: Mapping[int, Found]) -> list[Question]:
        """Encode the queries and sort them by the space that they are searched in."""
        texts = [q.value for q in asked.queries if q.kind == "text"]
        vectors: dict[int, np.ndarray] = {}
        if texts:
            self._check_texts(texts)
            places = [p for p, q in enumerate(asked.queries) if q.kind == "text"]
            encoded = features_of(self.encoder.encode_text(texts), asked.metric)
            vectors = dict(zip(places, encoded, strict=True))
        apart = bool(texts) and not self._joint
        wordy = sorted(vectors) if apart else []
        self._learn_queries(asked, found, vectors)
        out = []
        if seen := [place for place in range(len(asked.queries)) if place not in wordy]:
            out.append(Question.of(self._space(asked.metric), asked.queries, seen, vectors))
        if wordy:
            out.append(Question.of(self._word_space(asked.metric), asked.queries, wordy, vectors))
        if asked.unique and all(q.space is not self._space(asked.metric) for q in out):
            out = [q.with_pictures(self._space(asked.metric)) for q in out]
        return out

    def _learn_queries(self, asked: Asked, found: Mapping[int, Found], vectors: dict[int, np.ndarray]) -> None:
        """Add the picture queries' features to ``vectors``; what is stored is not encoded."""
        if not found:
            return
        space = self._space(asked.metric)
        new = [place for place, f in found.items() if f.row < 0 or not space.known[f.row]]
        encoded, errors = self._encode([found[place].uri for place in new])
        if errors:
            at, reason = next(iter(errors.items()))
            raise EspalierError(
                f"The query image {asked.queries[new[at]].value} cannot be read: {reason}.", "Take another."
            )
        for at, place in enumerate(new):
            vectors[place] = features_of(encoded[at : at + 1], asked.metric)[0]
            if found[place].row >= 0:
                self._learn(np.array([found[place].row]), encoded[at : at + 1])
        for place in found.keys() - set(new):
            vectors[place] = space.take(np.array([found[place].row]))[0]

    def _check_texts(self, texts: Sequence[str]) -> None:
        """Say what a search for words means with this encoder."""
        encoder = self.encoder
        if not encoder.has_text:
            raise EspalierError(
                f"The encoder {self._stats('encoder')} has no text side.",
                "Search by pictures, or embed with a two-tower encoder: --option encoder=FOLDER.",
            )
        if not self._joint:
            if not self.rows.facts["words"].null_count < len(self.rows):
                raise EspalierError(
                    f"{', '.join(self.rows.names)}: no captions and no labels to search, and {self._made_by} "
                    "cannot compare words with pictures.",
                    "Embed with a two-tower encoder: --option encoder=FOLDER.",
                )
            if self._stats("vectors_of") != "texts":
                made_by = self._made_by[0].upper() + self._made_by[1:]
                self.tell(
                    f"{made_by} cannot compare words with pictures: the words are searched in captions and labels."
                )
        for text in texts:
            if limit := _tokens_beyond(encoder, text):
                self.tell(f"The text {text[:40]!r}... has more than {limit} tokens; what is beyond is not read.")

    def _check_pictures(self) -> None:
        """Refuse a picture that has no vector, where none can be made that compares with the stored ones."""
        kind = self._stats("vectors_of")
        if kind == "brought" or (kind == "texts" and not self.encoder.joint):
            why = "were brought" if kind == "brought" else "are of texts"
            raise EspalierError(
                f"The vectors of {', '.join(self.rows.names)} {why}, so that no picture can be compared with them.",
                "Ask with a sample that has one (--query-item), or with words (--query-str).",
            )

    def _nearby(self, questions: Sequence[Question], k: int) -> np.ndarray:
        """Return which rows are, or copy, one of about the k nearest kept samples of a query: (n,) bool."""
        space = self._space("hamming")
        if any(question.space is not space for question in questions):
            raise UsageError(
                "--approximate does not go with words that are searched in captions and labels.", "Leave it out."
            )
        if self._index is None or self._index.k < k:
            self._index = Indexed(self.home.store(), self.embeddings, self.rows, space, k, self.tell)
        near = np.zeros(len(self.rows), bool)
        near[self._index.nearest(np.concatenate([q.queries for q in questions]), k)] = True
        self.tell(self._index.words)
        return near[self.rows.keeper]

    def _near_copies(self, asked: Asked, questions: Sequence[Question]) -> np.ndarray:
        """Return the rows of near copies that have no vector yet, if vectors of pictures are compared at all."""
        if self._brought or not any(question.space is self._space(asked.metric) for question in questions):
            return np.zeros(0, np.int64)
        return np.flatnonzero(~self._space(asked.metric).known)

    def _learn_copies(self, rows: np.ndarray, groups: np.ndarray, asked: Asked) -> None:
        """Encode near copies, those of the best groups first."""
        if not len(rows):
            return
        place = {int(group): at for at, group in reversed(list(enumerate(groups)))}
        order = np.argsort([place[int(g)] for g in self.rows.keeper[rows]], kind="stable")
        most = max(4 * asked.topk, LEAST_COPIES)
        if len(rows) > most:
            self.tell(f"{len(rows) - most:,} more near copies of what is shown were not compared.")
        rows = np.sort(rows[order[:most]])
        vectors, errors = self._encode(self.rows.values("uri", rows))
        self._learn(np.delete(rows, list(errors)), vectors)

    def _learn(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        self._vectors |= zip(rows.tolist(), vectors, strict=True)
        for space in self._pictures.values():
            space.learn(rows, vectors)

    def _encode(self, uris: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
        """Encode pictures: the vectors of those that can be read, and the reasons of the others by place."""
        if not uris:
            return np.zeros((0, 0), np.float32), {}
        self._check_pictures()
        batches = list(self.encoder.encode_images(enumerate(uris), read_bytes))
        return np.concatenate([b.vectors for b in batches]), dict(e for b in batches for e in b.errors)

    @property
    def _brought(self) -> bool:
        """Whether the vectors are the user's own, so that no encoder makes more of them."""
        return self._stats("vectors_of") == "brought"

    @property
    def _joint(self) -> bool:
        """Whether words compare with the vectors of pictures."""
        return bool(self.encoder.joint) and not self._brought

    @property
    def _made_by(self) -> str:
        return "embeddings that were brought" if self._brought else f"the encoder {self._stats('encoder')}"

    def _space(self, metric: str) -> Space:
        if metric not in self._pictures:
            space = Space.of_pictures(self.rows, self.embeddings, metric)
            if self._vectors:
                space.learn(np.array(list(self._vectors)), np.stack(list(self._vectors.values())))
            self._pictures[metric] = space
        return self._pictures[metric]

    def _word_space(self, metric: str) -> Space:
        if metric not in self._words:
            self._words[metric] = Space.of_words(self.rows, self.embeddings, self.encoder, metric)
        return self._words[metric]

    def _stats(self, name: str) -> str:
        return str(next(iter(self.embeddings.values())).meta.stats.get(name, ""))

    def _results(self, rows: np.ndarray, distance: np.ndarray, query: np.ndarray) -> tuple[Result, ...]:
        facts = self.rows
        dataset = np.searchsorted(facts.starts, rows, side="right") - 1
        kept = facts.values("sample_id", facts.keeper[rows])
        return tuple(
            Result(facts.names[d], sample, subset, float(far), uri, int(q), None if own else keeper)
            for d, sample, subset, far, uri, q, own, keeper in zip(
                dataset.tolist(),
                facts.values("sample_id", rows),
                facts.values("subset", rows),
                distance,
                facts.values("uri", rows),
                query,
                facts.embedded[rows].tolist(),
                kept,
                strict=True,
            )
        )


def _same_encoder(embeddings: Mapping[str, Table]) -> None:
    """Refuse datasets of several encoders: their vectors say nothing about each other."""
    ids = {name: table.meta.stats["encoder_id"] for name, table in embeddings.items()}
    if len(set(ids.values())) > 1:
        listed = ", ".join(f"{n}: {t.meta.stats['encoder']} ({ids[n][:8]})" for n, t in embeddings.items())
        raise EspalierError(
            f"These datasets were embedded by different encoders, so they cannot be searched together ({listed}).",
            "Explore them one by one, or embed them with one encoder.",
        )


def _tokens_beyond(encoder: Any, text: str) -> int:
    """Return the most tokens that an encoder takes, if a text has more; else 0."""
    tokens = getattr(encoder.text, "tokens", None)
    return int(tokens.length) if tokens is not None and tokens.tokenizer.encode(text).overflowing else 0


def _one_a_group(rows: Rows, passes: np.ndarray) -> np.ndarray:
    """Let one sample of each group of copies pass: the kept one, or the first copy where that one does not."""
    allowed = np.flatnonzero(passes)
    order = np.lexsort((allowed, ~rows.embedded[allowed], rows.keeper[allowed]))
    groups = rows.keeper[allowed[order]]
    first = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
    out = np.zeros(len(rows), bool)
    out[allowed[order[first]]] = True
    return out
