"""Stored datasets opened for exploring, and the search itself.

The copies that ``dedup_set`` dropped are found too. A byte-exact copy has its keeper's vector. A near copy gets its own
when its keeper is among the best: it is encoded on the spot and all is ranked again, so every distance is a true one.
A near copy is therefore found through the sample that it copies; at most ``max(4 k, 256)`` are encoded a question.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from espalier.apps.search.encoding import Encoding, check_same_encoder
from espalier.apps.search.indexed import ApproximateIndex
from espalier.apps.search.messages import DEFAULT_TOPK, Result, SearchRequest, SearchResponse
from espalier.apps.search.queries import QueryPicture, find_picture
from espalier.apps.search.ranking import Question, rank
from espalier.apps.search.rows import Rows, check_subsets, mask
from espalier.apps.search.spaces import Space, features_of
from espalier.core.errors import EspalierError, UsageError
from espalier.io.home import Home

LEAST_COPIES = 256


class SearchIndex:
    """Datasets that are searched together, all embedded by one encoder; kept in memory for repeated questions.

    With ``copies`` those that were dropped are found too. ``tell`` takes each sentence that the user should know. An
    EspalierError says when a dataset has no embeddings, or their encoders differ.
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
        self._index: ApproximateIndex | None = None

    def ask(self, request: SearchRequest) -> SearchResponse:
        """Answer a question.

        An EspalierError says which query cannot be read or found, a UsageError which filter or option makes no sense.
        """
        if request.item_subset is not None:
            check_subsets(self.home, self.rows, [request.item_subset])
        passes = mask(self.home, self.rows, request.subsets, request.labels, request.where)
        pictures = {
            place: find_picture(query, self.home, self.rows, request.item_subset)
            for place, query in enumerate(request.queries)
            if query.kind != "text"
        }
        own = np.array([picture.row for picture in pictures.values() if picture.row >= 0], np.int64)
        if request.others:
            passes[own] = False
        if request.unique:
            passes = self.rows.one_a_group(passes)
        questions = self._questions(request, pictures)
        left = int(np.count_nonzero(passes))
        if request.topk > left and request.topk != DEFAULT_TOPK:
            self.tell(f"top-k is {request.topk:,}, but only {left:,} samples can be shown.")
        k = min(request.topk, left)
        if request.approximate and k:
            passes &= self._nearby(questions, k + len(own))
        near = self._near_copies(request, questions) if k else np.zeros(0, np.int64)
        if len(near):
            # First the samples that were kept, also those that only stand for a copy that passes the filters.
            stands = passes.copy()
            stands[self.rows.keeper[near[passes[near]]]] = True
            rows = rank(questions, request, k, stands)[0]
            groups = np.concatenate([self.rows.keeper[rows], self.rows.keeper[own]])
            self._learn_copies(near[passes[near] & np.isin(self.rows.keeper[near], groups)], groups, request)
        results = self._results(*rank(questions, request, k, passes))
        uris = tuple((request.queries[place], picture.uri) for place, picture in pictures.items())
        recall = self._index.recall if request.approximate and self._index else None
        return SearchResponse(request, results, uris, self.encoding.name, recall)

    def _questions(self, request: SearchRequest, pictures: Mapping[int, QueryPicture]) -> list[Question]:
        """Encode the queries and sort them by the space that they are searched in."""
        vectors: dict[int, np.ndarray] = {}
        wordy: list[int] = []
        if places := [place for place, query in enumerate(request.queries) if query.kind == "text"]:
            encoded = self.encoding.texts([request.queries[place].value for place in places])
            vectors = dict(zip(places, features_of(encoded, request.metric), strict=True))
            wordy = [] if self.encoding.joint else places
        self._learn_queries(request, pictures, vectors)
        in_pictures, questions = self._space(request.metric), []
        if seen := [place for place in range(len(request.queries)) if place not in wordy]:
            questions.append(Question.of(in_pictures, request.queries, seen, vectors))
        if wordy:
            judge = in_pictures if request.unique and not questions else None
            questions.append(
                Question.of(self._word_space(request.metric), request.queries, wordy, vectors, pictures=judge)
            )
        return questions

    def _learn_queries(
        self, request: SearchRequest, pictures: Mapping[int, QueryPicture], vectors: dict[int, np.ndarray]
    ) -> None:
        """Add the picture queries' features to ``vectors``; what is stored is not encoded."""
        if not pictures:
            return
        space = self._space(request.metric)
        new = [place for place, picture in pictures.items() if picture.row < 0 or not space.known[picture.row]]
        encoded, errors = self.encoding.pictures([pictures[place].uri for place in new])
        if errors:
            at, reason = next(iter(errors.items()))
            raise EspalierError(
                f"The query image {request.queries[new[at]].value} cannot be read: {reason}.", "Take another."
            )
        for at, place in enumerate(new):
            vectors[place] = features_of(encoded[at : at + 1], request.metric)[0]
            if pictures[place].row >= 0:
                self._learn(np.array([pictures[place].row]), encoded[at : at + 1])
        for place in pictures.keys() - set(new):
            vectors[place] = space.features[pictures[place].row]

    def _nearby(self, questions: Sequence[Question], k: int) -> np.ndarray:
        """Return which rows are, or copy, one of about the k nearest kept samples of a query: (n,) bool."""
        space = self._space("hamming")
        if any(question.space is not space for question in questions):
            raise UsageError(
                "--approximate does not go with words that are searched in captions and labels.", "Leave it out."
            )
        if self._index is None or self._index.k < k:
            self._index = ApproximateIndex(self.home.store(), self.embeddings, self.rows, space, k, self.tell)
        near = np.zeros(len(self.rows), bool)
        near[self._index.nearest(np.concatenate([q.queries for q in questions]), k)] = True
        self.tell(self._index.measured)
        return near[self.rows.keeper]

    def _near_copies(self, request: SearchRequest, questions: Sequence[Question]) -> np.ndarray:
        """Return the rows of near copies that have no vector yet, if vectors of pictures are compared at all."""
        space = self._space(request.metric)
        compared = not self.encoding.brought and any(question.space is space for question in questions)
        return np.flatnonzero(~space.known) if compared else np.zeros(0, np.int64)

    def _learn_copies(self, rows: np.ndarray, groups: np.ndarray, request: SearchRequest) -> None:
        """Encode near copies, those of the best groups first."""
        if not len(rows):
            return
        place = {int(group): at for at, group in reversed(list(enumerate(groups)))}
        order = np.argsort([place[int(g)] for g in self.rows.keeper[rows]], kind="stable")
        most = max(4 * request.topk, LEAST_COPIES)
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
            self._pictures[metric] = Space.of_pictures(self.rows, self.embeddings, metric)
            if self._vectors:
                self._pictures[metric].learn(np.array(list(self._vectors)), np.stack(list(self._vectors.values())))
        return self._pictures[metric]

    def _word_space(self, metric: str) -> Space:
        if metric not in self._words:
            self._words[metric] = Space.of_words(self.rows, self.embeddings, self.encoding.encoder, metric)
        return self._words[metric]

    def _results(self, rows: np.ndarray, distances: np.ndarray, queries: np.ndarray) -> tuple[Result, ...]:
        facts = self.rows.facts.take(pa.array(rows)).to_pylist()
        keepers = self.rows.values("sample_id", self.rows.keeper[rows])
        return tuple(
            Result(
                dataset=fact["dataset"],
                sample_id=fact["sample_id"],
                subset=fact["subset"],
                distance=float(distance),
                uri=fact["uri"],
                query=int(query),
                copy_of=None if self.rows.embedded[row] else keeper,
                text=None if fact["uri"] else fact["words"],
            )
            for row, fact, keeper, distance, query in zip(rows, facts, keepers, distances, queries, strict=True)
        )
