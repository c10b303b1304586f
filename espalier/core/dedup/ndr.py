"""NDR: near-duplicate removal with the parameters of Datumaro's plugin of that name, for those who come from there.

Written afresh from the plugin's described behaviour (datumaro 1.13, ``datum transform -t ndr``): gradients of block
means and deviations, a random projection to ``hash_dim`` bits, rows visited in random order and removed when too
similar to a kept one, then sampling up or down to ``num_cut``. Differs where the original fails:

- every pair is compared, not only those with equal hash keys (which misses most copies); keys only weigh ``inverse``.
  Above 100,000 rows an index seeks the pairs, and its recall is measured (``NdrResult.search``);
- the similarity is still ``cosine ** 50``, but a negative cosine is no similarity (the even power hid the sign), and
  rounded features are divided by their norms: equal ones have exactly 1 and are copies at every threshold;
- a black image has a feature (the original divides 0 by 0), and black images are copies of each other;
- seed 0 is a seed, no global random state is touched, ``num_cut`` 0 keeps none instead of being ignored;
- ``block_shape`` is used (there it is checked, and 8 x 8 blocks are always taken, which is the default here);
- ``working_subset=None`` takes the rows of all subsets together (there: the subset named "default"); ``per_subset``
  takes them one subset after the other, as ``datum prune -m ndr`` called the plugin.

Not here: the project's own near duplicates, which find more (``espalier.core.dedup.near``), and reading images.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.near.features import STEP
from espalier.core.dedup.near.groups import Grouper
from espalier.core.dedup.near.neighbours import Block, SearchReport, pair_blocks
from espalier.core.errors import EspalierError, UsageError
from espalier.core.quota import largest_remainder
from espalier.core.rng import generator

EXPONENT = 50
OVER_SAMPLE = ("random", "similarity")
UNDER_SAMPLE = ("uniform", "inverse")
ALGORITHMS = ("gradient",)
STRIP = 64  # image rows held as floats at a time
_BLACK = 1e-6  # weight of a constant entry that only images without any gradient are left with


@dataclass(frozen=True)
class NdrResult:
    """What NDR decided, a row each.

    Attributes
    ----------
    kept : ndarray of shape (n,), bool
        True for the rows that stay, all rows outside the working subset among them.
    duplicate_of : ndarray of shape (n,), int64
        For a row removed as a duplicate: the row that it resembles most among those not removed as duplicates. -1
        for all others, also for those that went by under-sampling or came back by over-sampling.
    similarity : ndarray of shape (n,), float32
        ``cosine ** 50`` to that row, also for rows that came back; 0 for rows that were no duplicates. At most 1, and
        exactly 1 for equal features.
    subset : ndarray of shape (n,), str
        The subset of each row afterwards: removed ones are in ``duplicated_subset``.
    search : SearchReport
        How pairs were sought: all of them, or by an index whose recall was measured.
    """

    kept: np.ndarray
    duplicate_of: np.ndarray
    similarity: np.ndarray
    subset: np.ndarray
    search: SearchReport


@dataclass(frozen=True)
class Ndr:
    """NDR's parameters; call it with features.

    It works in ``working_subset``, in all rows together, or with ``per_subset`` in every subset by itself: then copies
    in two subsets both stay, and ``num_cut`` is shared out by the sizes of the subsets. Rows are duplicates from a
    ``cosine ** 50`` of ``sim_threshold`` on (0.5: a cosine of 0.986); removed ones go to ``duplicated_subset``.

    ``num_cut`` rows of the working subset are kept, None: those that are no duplicates. When it exceeds what removal
    leaves, ``over_sample`` brings back removed rows by chance (``random``), or the least similar first
    (``similarity``). When it is less, ``under_sample`` draws with equal weights (``uniform``), or so that every hash
    key of ``hash_dim`` bits weighs the reciprocal of its rows, which they share (``inverse``). ``block_shape``, rows
    and columns of blocks, is used by :func:`ndr_features`.
    """

    working_subset: str | None = None
    per_subset: bool = False
    duplicated_subset: str = "duplicated"
    algorithm: str = "gradient"
    num_cut: int | None = None
    over_sample: str = "random"
    under_sample: str = "uniform"
    block_shape: tuple[int, int] = (8, 8)
    hash_dim: int = 32
    sim_threshold: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.algorithm, ALGORITHMS, "algorithm"),
            (self.over_sample, OVER_SAMPLE, "over_sample"),
            (self.under_sample, UNDER_SAMPLE, "under_sample"),
        ):
            if value not in known:
                raise UsageError(f"ndr has no {what} {value!r}.", f"Known: {', '.join(known)}.")
        if self.working_subset is not None and self.working_subset == self.duplicated_subset:
            raise UsageError(f"working_subset and duplicated_subset are both {self.working_subset!r}.")
        if self.per_subset and self.working_subset is not None:
            raise UsageError("per_subset has no effect with working_subset, which is one subset.", "Leave one out.")
        if len(self.block_shape) != 2 or min(self.block_shape) < 1:
            raise UsageError(f"block_shape {self.block_shape} must be two positive numbers.")
        if not 0 < self.sim_threshold <= 1:
            raise UsageError(f"sim_threshold {self.sim_threshold} is not above 0 and at most 1.")
        if self.hash_dim < 1:
            raise UsageError(f"hash_dim {self.hash_dim} must be positive.")
        if self.num_cut is not None and self.num_cut < 0:
            raise UsageError(f"num_cut {self.num_cut} must not be negative.")

    def __call__(self, features: np.ndarray, subsets: np.ndarray | None = None) -> NdrResult:
        """Decide which rows of ``features`` stay.

        The features are those of :func:`ndr_features` or :func:`ndr_grid_features`; ``subsets``, of every row, are
        needed with ``working_subset`` and ``per_subset``.
        """
        n = len(features)
        names = np.full(n, "") if subsets is None else np.asarray(subsets, dtype=str)
        rows = self.working_rows(names)
        self.check(len(rows), features.shape[1])
        if self.per_subset:
            return self._each(features, names)
        order = generator(self.seed, "ndr", "order").permutation(len(rows))
        visited = rows[order]
        search = SearchReport()
        stays, owner, similarity = _remove(features[visited], self.sim_threshold, self.seed, search)
        final = self._cut(stays, similarity, features[visited])

        kept = np.ones(n, dtype=bool)
        kept[visited] = final
        duplicate_of = np.full(n, -1, dtype=np.int64)
        gone = ~stays & ~final
        duplicate_of[visited[gone]] = visited[owner[gone]]
        score = np.zeros(n, dtype=np.float32)
        score[visited] = similarity
        return NdrResult(kept, duplicate_of, score, np.where(kept, names, self.duplicated_subset), search)

    def _each(self, features: np.ndarray, names: np.ndarray) -> NdrResult:
        """Work in one subset after the other, and put the results together."""
        _, code, size = np.unique(names, return_inverse=True, return_counts=True)
        cuts = [None] * len(size)
        if self.num_cut is not None:
            cuts = largest_remainder(size, self.num_cut, upper=size).tolist()
        kept, similarity = np.ones(len(names), dtype=bool), np.zeros(len(names), dtype=np.float32)
        duplicate_of, search = np.full(len(names), -1, dtype=np.int64), SearchReport()
        for number, cut in enumerate(cuts):
            rows = np.flatnonzero(code == number)
            part = dataclasses.replace(self, per_subset=False, num_cut=cut)(features[rows])
            kept[rows], similarity[rows] = part.kept, part.similarity
            duplicate_of[rows] = np.where(part.duplicate_of >= 0, rows[part.duplicate_of], -1)
            search.add(part.search)
        return NdrResult(kept, duplicate_of, similarity, np.where(kept, names, self.duplicated_subset), search)

    def check(self, n: int, dimension: int) -> None:
        """Refuse what cannot be done with ``n`` rows of ``dimension`` entries, before any is made."""
        if self.hash_dim > dimension:
            raise UsageError(f"hash_dim {self.hash_dim} exceeds the {dimension} entries of the feature.")
        if self.num_cut is not None and self.num_cut > n:
            raise EspalierError(f"ndr cannot keep {self.num_cut} of {n} samples.", "Ask for fewer.")

    def working_rows(self, names: np.ndarray) -> np.ndarray:
        """Return the rows of the working subset, ascending, given the subset of every row."""
        if self.working_subset is None:
            return np.arange(len(names))
        rows = np.flatnonzero(names == self.working_subset)
        if not rows.size:
            raise UsageError(f"There is no subset {self.working_subset!r}.", f"Known: {', '.join(np.unique(names))}.")
        return rows

    def _cut(self, stays: np.ndarray, similarity: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Sample up or down to ``num_cut``; all columns in visiting order."""
        final = stays.copy()
        left = int(stays.sum())
        if self.num_cut is None or self.num_cut == left:
            return final
        rng = generator(self.seed, "ndr", "sample")
        if self.num_cut > left:
            removed = np.flatnonzero(~stays)
            if self.over_sample == "random":
                back = rng.permutation(removed)
            else:
                back = removed[np.argsort(similarity[removed], kind="stable")]
            final[back[: self.num_cut - left]] = True
            return final
        kept = np.flatnonzero(stays)
        weight = np.ones(left)
        if self.under_sample == "inverse":
            _, key, count = np.unique(
                hash_keys(features[kept], self.hash_dim, self.seed), axis=0, return_inverse=True, return_counts=True
            )
            weight = 1.0 / count[key.ravel()].astype(np.float64) ** 2
        # An exponential race: the same as drawing one after the other with these weights.
        arrival = rng.standard_exponential(left) / weight
        final[kept[np.argsort(arrival, kind="stable")[self.num_cut :]]] = False
        return final


def _remove(
    features: np.ndarray, sim_threshold: float, seed: int, search: SearchReport
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visit rows in their order: who stays, the most similar kept row before each, and how similar it is."""
    n = len(features)
    floor = math.nextafter(sim_threshold ** (1 / EXPONENT), 0)
    grouper = Grouper(np.zeros(n, dtype=bool), np.arange(n))
    owner = np.full(n, -1, dtype=np.int64)
    cosine = np.zeros(n, dtype=np.float32)
    for block in pair_blocks(features, floor, cosine=True, rng=generator(seed, "ndr", "search"), report=search):
        grouper.add(Block(block.start, block.stop, block.pairs))
        pairs = block.pairs.take(grouper.kept[block.pairs.i])
        np.maximum.at(cosine, pairs.j, pairs.similarity)
        best = pairs.take(pairs.similarity == cosine[pairs.j])
        owner[best.j] = n
        np.minimum.at(owner, best.j, best.i)
    return grouper.kept, owner, (cosine.astype(np.float64) ** EXPONENT).astype(np.float32)


def hash_keys(features: np.ndarray, hash_dim: int, seed: int) -> np.ndarray:
    """Signs of ``hash_dim`` random orthonormal projections, packed: (n, ceil(hash_dim / 8)) uint8."""
    draw = generator(seed, "ndr", "projection").standard_normal((features.shape[1], hash_dim))
    axes = np.linalg.qr(draw)[0]
    whole = np.rint(axes / STEP).astype(np.float32)  # products of whole numbers: no bit depends on the block
    return np.packbits(np.rint(features / np.float32(STEP)) @ whole >= 0, axis=1)


def ndr_features(images: list[np.ndarray], block_shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Gradients of block means and deviations, as the plugin takes them: (n, 12 * rows * columns + 1) float32.

    Images are grey or colour, uint8 or float in 0..1, of any size; a fourth channel is left out. Rows are unit within
    1e-3, entries multiples of 1/2048, so that their products are exact.
    """
    features = np.empty((len(images), feature_length(block_shape)), dtype=np.float32)
    for place, image in enumerate(images):
        mean, square = _moments(_three_channels(image), *block_shape)
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        features[place] = _gradients(np.concatenate([mean, spread], axis=-1)[None])[0]
    return features


def feature_length(block_shape: tuple[int, int]) -> int:
    """Return the number of entries of a feature that :func:`ndr_features` makes."""
    return 12 * block_shape[0] * block_shape[1] + 1


def ndr_grid_features(grids: np.ndarray, block_shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Make the same feature, of means only, from the stored 9 x 9 area grids, (n, 243) uint16.

    The result is (n, 6 * rows * columns + 1) float32; blocks up to (9, 9) carry information.
    """
    rows, columns = block_shape
    features = np.empty((len(grids), 6 * rows * columns + 1), dtype=np.float32)
    for start in range(0, len(grids), 4096):
        cells = grids[start : start + 4096].reshape(-1, 9, 9, 3).astype(np.float64) / 65535
        features[start : start + 4096] = _gradients(_block_means(cells, rows, columns))
    return features


def _three_channels(image: np.ndarray) -> np.ndarray:
    pixels = image[:, :, None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.size == 0:
        raise ValueError(f"expected a grey or colour image, got shape {image.shape}")
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, :3]


def _moments(pixels: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of (h, w, 3) pixels and of their squares over the blocks, (rows, columns, 3) each, strip by strip."""
    height, width, channels = pixels.shape
    down, across = _weights(height, rows), _weights(width, columns)
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    tall = np.zeros((2, rows, width, channels))
    for top in range(0, height, STRIP):
        strip = slice(top, top + STRIP)
        tile = pixels[strip].astype(np.float64) / scale
        tall[0] += np.einsum("rh,hwc->rwc", down[:, strip], tile)
        tall[1] += np.einsum("rh,hwc->rwc", down[:, strip], tile * tile)
    mean, square = np.einsum("sw,krwc->krsc", across, tall)
    return mean, square


def _block_means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Area-weighted means of (..., h, w, c) over rows x columns blocks."""
    down, across = _weights(pixels.shape[-3], rows), _weights(pixels.shape[-2], columns)
    # Not by BLAS: its threads wait for each other far longer than such small sums take.
    tall = np.einsum("rh,...hwc->...rwc", down, pixels)
    return np.einsum("sw,...rwc->...rsc", across, tall)


def _weights(length: int, blocks: int) -> np.ndarray:
    pixel = np.arange(length) / length
    block = np.arange(blocks)[:, None] / blocks
    overlap = np.minimum(pixel + 1 / length, block + 1 / blocks) - np.maximum(pixel, block)
    return np.maximum(overlap, 0) * blocks


def _gradients(blocks: np.ndarray) -> np.ndarray:
    """Central differences of (b, rows, columns, c) with zeros around, and a trace of a constant; unit rows."""
    padded = np.pad(blocks, ((0, 0), (1, 1), (1, 1), (0, 0)))
    across = padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:]
    down = padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]
    flat = np.concatenate([across, down], axis=-1).reshape(len(blocks), -1)
    joined = np.concatenate([flat, np.full((len(flat), 1), _BLACK)], axis=1)
    norm = np.sqrt(np.sum(joined * joined, axis=1, keepdims=True))
    return (np.rint(joined / (norm * STEP)) * STEP).astype(np.float32)
