"""``select``: a recipe applied to a dataset: the shared scope round any method.

The scope's parameters mean the same for all methods, so they are dealt with here, once: which subsets are pruned, which
samples score too low to take part, how many of each label stay, what space is clustered, where the random draws come
from, and what a human has decided. The methods see only the samples that they may choose from. What must stay comes
first in its group and the last of a group give way, so that the count does not change.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from espalier.core.complexity import cluster_complexity
from espalier.core.errors import EspalierError, UsageError
from espalier.core.hashing import as_vectors
from espalier.core.kmeans import fit_kmeans
from espalier.core.prune.base import Clusters, Features, Labels, Rule, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.quota import projected
from espalier.core.recipe import Recipe
from espalier.core.rng import generator


def needs(recipe: Recipe) -> frozenset[str]:
    """Return the fields of Features that the recipe reads, and "subsets" when it needs their names.

    With ``space=hash`` the clusters are read for their number only, and the hashes instead of the vectors.
    """
    fields = set(recipe.method.needs)
    if recipe.scope.space == "hash":
        fields = (fields - {"vectors", "complexity", "centroids"}) | {"hashes"}
    if recipe.scope.min_per_class:
        fields.add("labels")
    if recipe.scope.min_clip_score is not None:
        fields.add("clip_scores")
    if pruned_subsets(recipe):
        fields.add("subsets")
    return frozenset(fields)


def pruned_subsets(recipe: Recipe) -> tuple[str, ...]:
    """Return the subsets that the recipe prunes, the others being kept whole; empty means all are pruned."""
    return recipe.scope.subsets or recipe.method.subsets


def select(
    recipe: Recipe,
    features: Features,
    subset_names: np.ndarray | None = None,
    *,
    forced_keep: np.ndarray | None = None,
    forced_drop: np.ndarray | None = None,
) -> Selection:
    """Apply a recipe.

    With ``subsets`` in the recipe, only samples of these reach pruning: the target is ``ceil(ratio * n)`` with
    n their number, and every other sample is kept besides. With ``min_clip_score``, those of them that score less or
    have no score are dropped first and do not count in n, but for samples kept by verdict. Verdicts count towards
    the target; a sample dropped by verdict still counts in n, so that the number kept does not depend on verdicts.

    Parameters
    ----------
    recipe : Recipe
    features : Features
        One row a sample, in order of sample_id; at least the fields named by :func:`needs`.
    subset_names : ndarray of shape (n,), str
        The subset of each sample; needed when the recipe names subsets, or prunes each by itself.
    forced_keep, forced_drop : ndarray of shape (n,), bool
        Human verdicts. A verdict to drop holds in every subset, also in those kept whole.

    Returns
    -------
    Selection
        For all n samples.

    Raises
    ------
    UsageError
        For a subset that does not exist, or an amount greater than what reaches pruning.
    EspalierError
        When an input is missing, or when verdicts or ``min_per_class`` cannot be met at this amount.
    """
    n = features.n
    keep = np.zeros(n, bool) if forced_keep is None else forced_keep.astype(bool)
    drop = np.zeros(n, bool) if forced_drop is None else forced_drop.astype(bool)
    if subset_names is not None:
        features = dataclasses.replace(features, subsets=subset_names)
    inside = _inside(recipe, n, subset_names)
    low = inside & ~keep & ~drop & _low_scores(recipe, features)
    inside &= ~low
    if low.any() and not inside.any():
        raise EspalierError(
            f"No sample has a CLIP score of {recipe.scope.min_clip_score} or more.",
            f"The highest is {_highest(features)}.",
        )
    target = recipe.amount.target(int(inside.sum()))
    _check_verdicts(keep, drop, inside, target)

    pool = np.flatnonzero(inside & ~drop)
    if len(pool) == 0:
        nothing = np.empty(0)
        return _spread(keep_first(nothing, nothing.astype(np.int32), np.zeros(1, np.int64)), pool, drop, low)
    seen = features if len(pool) == n else features.take(pool)
    _check_inputs(recipe, seen)
    if recipe.scope.space == "hash":
        seen = _in_hash_space(recipe, seen)
    rng = generator(recipe.scope.seed, recipe.method.name, "select")
    chosen = recipe.method(seen, target=target, rng=rng)
    assert chosen.kept.sum() == target, f"{recipe.method.name} kept {chosen.kept.sum()}, not {target}"

    pinned = held = keep[pool]
    least = recipe.scope.min_per_class
    if least:
        assert seen.labels is not None
        held = protect_labels(chosen, seen.labels, least, pinned)
    check_room(held, pinned, least, target)
    if held.any():
        chosen = make_room(chosen, pinned, held)
    if len(pool) == n:
        return chosen
    spread = _spread(chosen, pool, drop, low)
    return dataclasses.replace(spread, clip_scores=features.clip_scores) if low.any() else spread


def _inside(recipe: Recipe, n: int, subset_names: np.ndarray | None) -> np.ndarray:
    """Return which samples reach pruning: (n,) bool."""
    wanted = pruned_subsets(recipe)
    if not wanted:
        return np.ones(n, bool)
    if subset_names is None:
        raise EspalierError("The recipe names subsets, but this dataset has none.", "Leave subsets out.")
    inside = np.zeros(n, bool)
    for subset in wanted:
        here = subset_names == subset
        if not here.any():
            names = ", ".join(name or "(no name)" for name in np.unique(subset_names).tolist())
            raise UsageError(f"There is no subset {subset!r} in this dataset.", f"Its subsets are: {names}.")
        inside |= here
    return inside


def _low_scores(recipe: Recipe, features: Features) -> np.ndarray:
    """Return which samples score less than the recipe asks, or have no score: (n,) bool."""
    least = recipe.scope.min_clip_score
    if least is None:
        return np.zeros(features.n, bool)
    if features.clip_scores is None:
        raise EspalierError(
            "min_clip_score needs CLIP scores, which this dataset lacks.",
            "Embed it with a two-tower encoder (--option encoder=FOLDER), and give its pictures captions or labels.",
        )
    return ~(features.clip_scores >= np.float32(least))  # NaN is no score


def _highest(features: Features) -> str:
    scores = features.clip_scores
    if scores is None or not np.isfinite(scores).any():
        return "none: no sample has a picture and a text"
    return f"{np.nanmax(scores):.3f}"


def _check_verdicts(keep: np.ndarray, drop: np.ndarray, inside: np.ndarray, target: int) -> None:
    if (keep & drop).any():
        row = int(np.argmax(keep & drop))
        raise EspalierError(f"Row {row} is to be kept and dropped by verdict.", "Take one verdict back.")
    free = int((inside & ~drop).sum())
    if target > free:
        raise EspalierError(
            f"The recipe keeps {target}, but verdicts to drop leave {free} samples.",
            f"Keep at most n{free}, or take some verdicts back.",
        )


def _check_inputs(recipe: Recipe, features: Features) -> None:
    if recipe.scope.space == "hash" and features.hashes is None:
        raise EspalierError("space=hash needs hashes, which this dataset lacks.", "Materialize embeddings first.")
    if recipe.scope.min_per_class and not features.has("labels"):
        raise EspalierError("min_per_class needs labels, which this dataset lacks.", "Leave min_per_class out.")


def _in_hash_space(recipe: Recipe, features: Features) -> Features:
    """Put unit vectors made of the hash bits in place of the embeddings, and cluster them anew if need be."""
    assert features.hashes is not None
    vectors = as_vectors(features.hashes, 8 * features.hashes.shape[1])
    features = dataclasses.replace(features, vectors=vectors)
    if not recipe.method.needs & {"clusters", "complexity", "centroids"}:
        return features
    if features.clusters is None:
        raise EspalierError(
            f"{recipe.method.name} needs clusters, which this dataset lacks.", "Materialize clusters first."
        )
    k, n_neighbors = max(1, int(np.count_nonzero(features.clusters.size))), features.clusters.n_neighbors
    fitted = fit_kmeans(vectors, k, rng=generator(recipe.scope.seed, recipe.method.name, "hash clusters"))
    clusters = Clusters(
        fitted.assignment,
        fitted.distance,
        np.bincount(fitted.assignment, minlength=fitted.k),
        cluster_complexity(fitted.centroids, fitted.assignment, fitted.distance, n_neighbors).complexity,
        fitted.centroids,
        n_neighbors,
    )
    return dataclasses.replace(features, clusters=clusters)


def _spread(chosen: Selection, pool: np.ndarray, drop: np.ndarray, low: np.ndarray) -> Selection:
    """Put the rows that the method did not see back in: kept whole, dropped by verdict, or filtered."""
    n = len(drop)
    kept, rule = ~(drop | low), np.where(drop, Rule.BARRED, Rule.WHOLE).astype(np.uint8)
    rule[low] = Rule.FILTERED
    score, group, rank = np.full(n, np.nan), np.full(n, -1, np.int32), np.zeros(n, np.int64)
    kept[pool], score[pool], group[pool], rank[pool] = chosen.kept, chosen.score, chosen.group, chosen.rank
    rule[pool] = Rule.METHOD if chosen.rule is None else chosen.rule
    return dataclasses.replace(chosen, kept=kept, score=score, group=group, rank=rank, rule=rule)


def protect_labels(selection: Selection, labels: Labels, least: int, pinned: np.ndarray) -> np.ndarray:
    """Choose which samples to hold on to so that every label keeps at least ``least`` (or all it has): (n,) bool.

    Of each label those that the method likes best; labels are served from the rarest to the commonest, and a sample
    with several labels counts for each of them. Those ``pinned`` stay anyway, and count.
    """
    quota = selection.quota[selection.group]
    place = selection.rank / np.where(quota > 0, quota, 0.5)  # at most 1 where the method keeps
    sample = np.repeat(np.arange(len(place)), np.diff(labels.indptr))
    order = np.lexsort((sample, place[sample], labels.codes))
    liked = sample[order]
    size = np.bincount(labels.codes, minlength=len(labels.names))
    start = np.cumsum(size) - size
    held = pinned.copy()
    for label in np.argsort(size, kind="stable"):
        members = liked[start[label] : start[label] + size[label]]
        missing = min(least, len(members)) - int(held[members].sum())
        if missing > 0:
            held[members[~held[members]][:missing]] = True
    return held


def make_room(selection: Selection, pinned: np.ndarray, held: np.ndarray) -> Selection:
    """Keep ``held`` samples too, those ``pinned`` by verdict among them, at the cost of the last of the groups.

    The count stays; score, group, rank and quota too. ``kept`` and ``rule`` say what changed.
    """
    was, group = selection.kept, selection.group
    size = np.bincount(group, minlength=len(selection.quota))
    floor = np.bincount(group[held], minlength=len(size))
    quota = projected(selection.quota, int(was.sum()), floor, size)
    order = np.lexsort((selection.rank, ~held, group))
    position = np.empty(len(group), np.int64)
    position[order] = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    kept = position < quota[group]
    rule = np.full(len(kept), Rule.METHOD, np.uint8)
    rule[held & ~was] = Rule.CLASS
    rule[was & ~kept] = Rule.DISPLACED
    rule[pinned] = Rule.PINNED
    return dataclasses.replace(selection, kept=kept, rule=rule)


def check_room(held: np.ndarray, pinned: np.ndarray, least: int, target: int) -> None:
    """Refuse when more must stay than the target allows, saying what asks for how many."""
    if pinned.sum() > target:
        raise EspalierError(
            f"{pinned.sum()} samples are to be kept by verdict, more than the {target} that the recipe keeps.",
            f"Keep at least n{pinned.sum()}, or take some verdicts back.",
        )
    if held.sum() > target:
        raise EspalierError(
            f"min_per_class={least} needs {held.sum()} samples, more than the {target} that the recipe keeps.",
            f"Keep at least n{held.sum()}, or lower min_per_class.",
        )
