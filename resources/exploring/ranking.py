"""Ranking in one space, or in two at once (pictures, and words of an encoder without a joint space)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from espalier.errors import UsageError
from espalier.explore.joined import Joined, least
from espalier.explore.part import Cosine, Hamming
from espalier.explore.unique import hide_duplicates, near_threshold
from resources.exploring.answer import Asked
from resources.exploring.queries import Query
from resources.exploring.spaces import Space

_RRF_DEPTH = 1000


@dataclass(frozen=True)
class Question:
    """The queries that are searched in one space.

    Attributes
    ----------
    space : Space
    queries, without : ndarray of shape (n, width)
        Features; ``without`` pushes away and may be empty.
    places : ndarray of shape (n_queries,), int64
        The queries' numbers in what was asked.
    pictures : Space or None
        Where likeness for ``unique`` is judged when it is not this space.
    """

    space: Space
    queries: np.ndarray
    without: np.ndarray
    places: np.ndarray
    pictures: Space | None = None

    @classmethod
    def of(
        cls, space: Space, queries: Sequence[Query], places: Sequence[int], features: Mapping[int, np.ndarray]
    ) -> "Question":
        """Put together the features of the queries at ``places``."""
        wanted = [p for p in places if not queries[p].away]
        if not wanted:
            raise UsageError(
                "With this encoder words cannot push pictures away, nor pictures words.",
                "Give --not of the same kind as what is looked for.",
            )
        away = [features[p] for p in places if queries[p].away]
        asked = np.stack([features[p] for p in wanted])
        return cls(space, asked, np.stack(away) if away else asked[:0], np.array(wanted))

    def with_pictures(self, pictures: Space) -> "Question":
        """Judge likeness for ``unique`` by the pictures."""
        return replace(self, pictures=pictures)


def rank(
    questions: Sequence[Question], asked: Asked, k: int, passes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best rows: row int64, distance float32, number of the nearest query; at most k each.

    Two spaces are joined by the least distance, or by the sum of reciprocal ranks.
    """
    if not k:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    if len(questions) == 1:
        return _alone(questions[0], asked, k, passes)
    pushed = any(len(question.without) for question in questions)
    if asked.fuse == "mean" or asked.unique or pushed:
        what = "--unique" if asked.unique else "--not" if pushed else "--fuse mean"
        raise UsageError(
            f"{what} cannot join words and pictures of an encoder that cannot compare them.", "Leave it out."
        )
    return _joined(questions, asked, k, passes)


def _alone(question: Question, asked: Asked, k: int, passes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if question.pictures is None:
        rows, _, distance, query = _search(question, asked, k, passes, unique=asked.unique)
        return rows, distance, query
    # Words are ranked by words; whether two results are alike is seen in the pictures.
    pictures = question.pictures
    kind = Hamming if asked.metric == "hamming" else Cosine
    data = Joined([kind(part) for part in pictures.parts])
    left = int(np.count_nonzero(passes & question.space.known))

    def first(m: int) -> tuple[np.ndarray, np.ndarray]:
        return _search(question, asked, m, passes)[:2]

    threshold = near_threshold(asked.metric, 8 * pictures.parts[0].shape[1])
    shown, _ = hide_duplicates(first, data, min(k, left), left, threshold)
    only = np.zeros(len(passes), bool)
    only[shown] = True
    rows, _, distance, query = _search(question, asked, len(shown), only)
    return rows, distance, query


def _search(
    question: Question, asked: Asked, k: int, passes: np.ndarray, *, unique: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Search one space: rows, scores, distances, numbers of the nearest queries."""
    space = question.space
    allowed = passes & space.known
    hits = space.explorer.topk(
        question.queries,
        k,
        without=question.without if len(question.without) else None,
        fuse=asked.fuse,
        where=None if allowed.all() else allowed,
        unique=unique,
    )
    return space.starts[hits.part] + hits.row, hits.score, hits.distance, question.places[hits.query]


def _joined(
    questions: Sequence[Question], asked: Asked, k: int, passes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the lists of several spaces.

    With ``best`` the k first of each suffice: whoever is among the k best is so by its least distance, in that
    space's list. With ``rrf`` the reciprocal ranks add up over the lists, as deep as those go.
    """
    depth = k if asked.fuse == "best" else max(10 * k, _RRF_DEPTH)
    found = [_search(question, asked, depth, passes) for question in questions]
    rows, scores, distance, query = (np.concatenate(columns) for columns in zip(*found, strict=True))
    if asked.fuse == "best":
        ranked, _ = least(rows, scores, k)
    else:
        each, place = np.unique(rows, return_inverse=True)
        ranked, _ = least(each, np.bincount(place, scores).astype(np.float32), k)
    order = np.lexsort((query, distance, rows))
    first = order[np.searchsorted(rows[order], ranked)]
    return ranked, distance[first], query[first]
