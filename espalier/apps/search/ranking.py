"""Ranking in one space, or in two at once (pictures, and words of an encoder without a joint space)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from espalier.apps.search.messages import SearchRequest
from espalier.apps.search.queries import Query
from espalier.apps.search.spaces import Space
from espalier.core.search.ranking import hide_duplicates, near_threshold, score_together

WEIGHT = 0.5  # of what pushes away
_BLOCK = 1 << 16  # rows whose distances are taken at once

Ranked = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Question:
    """The queries that are searched in one space.

    ``queries`` and ``without`` (which pushes away) are features, (n, width); either may be empty, ``queries`` only
    where another space has some. ``places``, (n_queries,) int64, are their numbers in the request. Likeness for
    ``unique`` is judged in ``pictures`` when it is not this space.
    """

    space: Space
    queries: np.ndarray
    without: np.ndarray
    places: np.ndarray
    pictures: Space | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        queries: Sequence[Query],
        places: Sequence[int],
        features: Mapping[int, np.ndarray],
        pictures: Space | None = None,
    ) -> "Question":
        """Put together the features of the queries at ``places``."""
        stacked, away = np.stack([features[p] for p in places]), np.array([queries[p].away for p in places])
        return cls(space, stacked[~away], stacked[away], np.array(places)[~away], pictures)


def rank(questions: Sequence[Question], request: SearchRequest, k: int, passes: np.ndarray) -> Ranked:
    """Return the best rows: row int64, distance float32, number of the nearest query; at most k each.

    Questions of two spaces (that of the pictures first) are ranked by all distances together, each in its own space.
    A sample without words counts as unrelated to them, half of all bits or a cosine of 0; ``rrf`` gives it no rank.
    """
    if not k:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    if len(questions) > 1:
        return _together(questions, request, k, passes)
    (question,) = questions
    if question.pictures is None:
        return _search(question, request, k, passes, unique=request.unique)[1:]
    # Words are ranked by words; whether two results are alike is seen in the pictures.
    left = int(np.count_nonzero(passes & question.space.known))

    def first(m: int) -> tuple[np.ndarray, np.ndarray]:
        score, rows, *_ = _search(question, request, m, passes)
        return rows, score

    shown = _unlike(first, question.pictures, min(k, left), left)
    only = np.zeros(len(passes), bool)
    only[shown] = True
    return _search(question, request, len(shown), only)[1:]


def _together(questions: Sequence[Question], request: SearchRequest, k: int, passes: np.ndarray) -> Ranked:
    pictures = questions[0].space
    rows = np.flatnonzero(passes & pictures.known)
    wanted = np.concatenate([_distances(q.space, q.queries, rows) for q in questions])
    unwanted = np.concatenate([_distances(q.space, q.without, rows) for q in questions])
    unrelated = 4.0 * pictures.features.shape[1] if request.metric == "hamming" else 1.0
    score = score_together(wanted, unwanted, fuse=request.fuse, weight=WEIGHT, unrelated=unrelated, k=k)
    order = np.argsort(score, kind="stable")

    def first(m: int) -> tuple[np.ndarray, np.ndarray]:
        return rows[order[:m]], score[order[:m]]

    shown = _unlike(first, pictures, min(k, len(rows)), len(rows)) if request.unique else first(k)[0]
    each = np.nan_to_num(wanted[:, np.searchsorted(rows, shown)], nan=unrelated)
    distance = each.mean(axis=0, dtype=np.float64) if request.fuse == "mean" else each.min(axis=0)
    places = np.concatenate([q.places for q in questions])
    return shown, distance.astype(np.float32), places[each.argmin(axis=0)]


def _distances(space: Space, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return all distances of queries and rows: (n_queries, len(rows)) float32, NaN where a row is not known."""
    out = np.full((len(queries), len(rows)), np.nan, np.float32)
    data, known = space.joined, space.known[rows]
    for start in range(0, len(rows) if len(queries) else 0, _BLOCK):
        part = start + np.flatnonzero(known[start : start + _BLOCK])
        out[:, part] = data.between(queries, rows[part])
    return out


def _unlike(first: Callable[[int], tuple[np.ndarray, np.ndarray]], pictures: Space, k: int, left: int) -> np.ndarray:
    """Return the first k rows of a ranking of which none looks like an earlier one."""
    threshold = near_threshold(pictures.metric, 8 * pictures.features.shape[1])
    return hide_duplicates(first, pictures.joined, k, left, threshold)[0]


def _search(
    question: Question, request: SearchRequest, k: int, passes: np.ndarray, *, unique: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Search one space: scores, rows, distances, numbers of the nearest queries."""
    space = question.space
    allowed = passes & space.known
    hits = space.explorer.topk(
        question.queries,
        k,
        without=question.without if len(question.without) else None,
        fuse=request.fuse,
        weight=WEIGHT,
        where=None if allowed.all() else allowed,
        unique=unique,
    )
    return hits.score, hits.row, hits.distance, question.places[hits.query]
