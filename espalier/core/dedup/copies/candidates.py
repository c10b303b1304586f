"""Pairs of pictures that may be copies, each with the transform from which its alignment starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.copies.affine import exchanged


@dataclass(frozen=True)
class Candidates:
    """Pairs ``i < j``, none twice.

    Attributes
    ----------
    i, j : ndarray of shape (m,), int64
    mirrored : ndarray of shape (m,), bool
        The picture j is mirrored left to right before it is compared.
    similarity : ndarray of shape (m,), float32
        Of the descriptors that met.
    start : ndarray of shape (m, 2, 3), float64
        From coordinates of i (-1 to 1 on each side) to those of j, or of its mirror image.
    """

    i: np.ndarray
    j: np.ndarray
    mirrored: np.ndarray
    similarity: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.i)

    def take(self, where: np.ndarray | slice) -> Candidates:
        """Select the pairs at ``where`` (a mask, indices, or a slice)."""
        return Candidates(self.i[where], self.j[where], self.mirrored[where], self.similarity[where], self.start[where])


def with_others(own: Candidates, others: Candidates, n: int) -> Candidates:
    """Add those of other candidates, among n pictures, that are not there yet."""
    keys = [(c.i * n + c.j) * 2 + c.mirrored for c in (own, others)]
    fresh = others.take(~np.isin(keys[1], keys[0]))
    columns = [np.concatenate([column, vars(fresh)[name]]) for name, column in vars(own).items()]
    return Candidates(*columns).take(np.argsort(np.concatenate([keys[0], keys[1][~np.isin(keys[1], keys[0])]])))


def unique_candidates(
    of: np.ndarray, with_: np.ndarray, mirrored: np.ndarray, similarity: np.ndarray, start: np.ndarray
) -> Candidates:
    """Put pairs in the order of (i, j, mirrored); of the same pair the most similar stays.

    Parameters
    ----------
    of, with_ : ndarray of shape (m,), int64
        ``start`` maps coordinates of ``of`` to those of ``with_``, or of its mirror image.
    """
    turn = of > with_
    i, j = np.minimum(of, with_), np.maximum(of, with_)
    order = np.lexsort((-similarity, mirrored, j, i))
    i, j, mirrored = i[order], j[order], mirrored[order]
    new = np.ones(len(i), bool)
    new[1:] = (np.diff(i) != 0) | (np.diff(j) != 0) | (np.diff(mirrored.astype(np.int8)) != 0)
    new &= i != j
    i, j, mirrored, order = i[new], j[new], mirrored[new], order[new]
    start = np.where(turn[order][:, None, None], exchanged(start[order], mirrored), start[order])
    return Candidates(i, j, mirrored, similarity[order], start)
