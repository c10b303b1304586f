"""Stored datasets opened for exploring, and the search itself.

The copies that ``dedup_set`` dropped are found too. A byte-exact copy has its keeper's vector. A near copy gets its own
when its keeper is among the best: it is encoded on the spot and all is ranked again, so every distance is a true one.
A near copy is therefore found through the sample that it copies; at most ``max(4 k, 256)`` are encoded a question.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from espalier.apps.search.encoding import Encoding, check_same_encoder
from espalier.apps.search.filters import check_subsets, mask
from espalier.apps.search.indexed import Indexed
from espalier.apps.search.messages import DEFAULT_TOPK, Answer, Asked, Result
from espalier.apps.search.queries import Found, find_picture
from espalier.apps.search.ranking import Question, rank
from espalier.apps.search.rows import Rows
from espalier.apps.search.spaces import Space, features_of
from espalier.core.errors import EspalierError, UsageError
from espalier.io.home import Home

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
                f"No embeddings yet: {', '.join(missing) or 'no dataset is named'}.",
                f"Run: espalier prune {first}, or materialize its embeddings in the page.",
            )
        self.home, self.tell = home, tell
        self.embeddings = {name: store.need("embeddings", name) for name in names}
        check_same_encoder(self.embeddings)
        self.rows = Rows.read(home, self.embeddings, copies=copies)
        if self.rows.n_apart:
            tell(f"{self.rows.n_apart:,} dropped samples are not searched: what they copy is not explored here.")
        self.encoding = Encoding(home, self.embeddings, self.rows, tell)
        without = int(np.count_nonzero(~(self.rows.embedded | self.rows.exact)))
        if self.encoding.brought and without:
            tell(f"{without:,} near copies that were dropped are not searched: the embeddings were brought.")
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
            passes = self.rows.one_a_group(passes)
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
        return Answer(asked, self._results(rows, distance, query), pictures, self.encoding.name, recall)

    def _questions(self, asked: Asked, found: Mapping[int, Found]) -> list[Question]:
        """Encode the queries and sort them by the space that they are searched in."""
        vectors: dict[int, np.ndarray] = {}
        wordy: list[int] = []
        if places := [place for place, query in enumerate(asked.queries) if query.kind == "text"]:
            encoded = self.encoding.texts([asked.queries[place].value for place in places])
            vectors = dict(zip(places, features_of(encoded, asked.metric), strict=True))
            wordy = [] if self.encoding.joint else places
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
        encoded, errors = self.encoding.pictures([found[place].uri for place in new])
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
        if self.encoding.brought or not any(question.space is self._space(asked.metric) for question in questions):
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
        vectors, errors = self.encoding.pictures(self.rows.values("uri", rows))
        self._learn(np.delete(rows, list(errors)), vectors)

    def _learn(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        self._vectors |= zip(rows.tolist(), vectors, strict=True)
        for space in self._pictures.values():
            space.learn(rows, vectors)

    def _space(self, metric: str) -> Space:
        if metric not in self._pictures:
            space = Space.of_pictures(self.rows, self.embeddings, metric)
            if self._vectors:
                space.learn(np.array(list(self._vectors)), np.stack(list(self._vectors.values())))
            self._pictures[metric] = space
        return self._pictures[metric]

    def _word_space(self, metric: str) -> Space:
        if metric not in self._words:
            self._words[metric] = Space.of_words(self.rows, self.embeddings, self.encoding.encoder, metric)
        return self._words[metric]

    def _results(self, rows: np.ndarray, distance: np.ndarray, query: np.ndarray) -> tuple[Result, ...]:
        facts = self.rows
        dataset = np.searchsorted(facts.starts, rows, side="right") - 1
        kept = facts.values("sample_id", facts.keeper[rows])
        return tuple(
            Result(
                facts.names[d],
                sample,
                subset,
                float(far),
                uri,
                int(q),
                None if own else keeper,
                None if uri else words,
            )
            for d, sample, subset, far, uri, q, own, keeper, words in zip(
                dataset.tolist(),
                facts.values("sample_id", rows),
                facts.values("subset", rows),
                distance,
                facts.values("uri", rows),
                query,
                facts.embedded[rows].tolist(),
                kept,
                facts.values("words", rows),
                strict=True,
            )
        )
