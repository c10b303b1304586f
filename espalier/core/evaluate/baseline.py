"""Recipes and their random baselines: each measured with random subsets of its own size, and judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.evaluation import Evaluation
from espalier.core.evaluate.judge import Quality, Verdict, judge
from espalier.core.prune import METHODS
from espalier.core.prune.base import Features
from espalier.core.prune.random import Random
from espalier.core.prune.scope import Scope
from espalier.core.prune.select import needs, select
from espalier.core.recipe import Amount, Recipe

GIVEN = ("labels", "text_hashes", "clip_scores")  # what a dataset may lack; all else is computed

RAW_RANDOM = "raw_random"
"""Random over all files, duplicates among them."""


@dataclass(frozen=True)
class Measured:
    """One recipe, measured: as asked, without the seeds that were run through.

    There is a record a seed in ``qualities``; ``seeds`` is empty when the method draws nothing, and one record stands
    for all. ``baseline`` are random subsets of the same size, one a seed. ``verdict`` is None for random itself;
    ``raw`` is the verdict against random over all files, where that was asked for.
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    qualities: tuple[Quality, ...]
    baseline: tuple[Quality, ...]
    verdict: Verdict | None
    raw: Verdict | None = None


@dataclass(frozen=True)
class Comparison:
    """Recipes in the order asked (random first at each amount), random over all files, and what was left out.

    ``left_out`` holds (recipe, reason) pairs; ``raw`` an amount, its count, and a record a seed each.
    """

    measured: tuple[Measured, ...]
    raw: tuple[tuple[Amount, tuple[Quality, ...]], ...]
    left_out: tuple[tuple[str, str], ...]


def plan(methods: Sequence[str], ratios: Sequence[str], recipes: Sequence[str] = ()) -> list[Recipe]:
    """List the recipes to compare: every method at every ratio, then ``recipes``, each once, random first.

    No ``methods`` means all, unless ``recipes`` are given.
    """
    names = list(methods) or ([] if recipes else list(METHODS))
    asked = [Recipe.build(name, ratio) for ratio in ratios for name in names] if names else []
    asked += [Recipe.parse(text) for text in recipes]
    out: dict[str, Recipe] = {}
    for recipe in asked:
        baseline = random_baseline(recipe)
        out.setdefault(str(baseline), baseline)
        out.setdefault(str(recipe), recipe)
    return list(out.values())


def random_baseline(recipe: Recipe, seed: int = 0) -> Recipe:
    """Return the random recipe of the same amount over the same subsets."""
    scope = Scope(seed=seed, subsets=recipe.scope.subsets, min_clip_score=recipe.scope.min_clip_score)
    return Recipe(Random(), recipe.amount, scope)


def lacking(recipe: Recipe, features: Features) -> str:
    """Say what of the dataset the recipe needs and does not find, or "" when all is there."""
    missing = [need for need in GIVEN if need in needs(recipe) and not features.has(need)]
    return f"needs {' and '.join(m.replace('_', ' ') for m in missing)}, which this dataset lacks" if missing else ""


def compare(
    recipes: Sequence[Recipe],
    features: Features,
    evaluation: Evaluation,
    subset_names: np.ndarray | None = None,
    *,
    seeds: int = 3,
    raw: Evaluation | None = None,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Apply each recipe to the training samples and measure it with random of its size.

    A recipe that draws is run with the seeds 0 to ``seeds`` - 1, unless it names its own; one that draws nothing is run
    once. A recipe that cannot be applied here is left out, with the reason. ``evaluation`` is of the rows of
    ``features``; with ``raw``, that of all files, random is also drawn from these, at the same counts. ``progress`` is
    called with 1 after each recipe. Refused when random is all that can be applied of more.
    """
    left_out: list[tuple[str, str]] = []
    randoms: dict[str, tuple[Quality, ...]] = {}
    raws: dict[int, tuple[Amount, tuple[Quality, ...]]] = {}
    measured = []

    def at(recipe: Recipe) -> Quality:
        return evaluation.measure(select(recipe, features, subset_names).kept)

    for recipe in recipes:
        why = lacking(recipe, features)
        try:
            if not why:
                key = str(random_baseline(recipe))
                if key not in randoms:
                    randoms[key] = tuple(at(random_baseline(recipe, seed)) for seed in range(seeds))
                runs = _runs(recipe, seeds)
                qualities = tuple(at(run) for run in runs)
                size = qualities[0].n_kept
                if raw is not None and size not in raws:
                    raws[size] = recipe.amount, tuple(raw.measure(_draw(raw, size, s)) for s in range(seeds))
                measured.append(_measured(recipe, runs, qualities, randoms[key], raws.get(size)))
        except EspalierError as error:
            why = f"cannot be applied: {error}"
        if why:
            left_out.append((str(recipe), why))
        if progress:
            progress(1)
    if left_out and all(m.verdict is None for m in measured):
        text, why = left_out[0]
        raise EspalierError(f"No recipe can be compared with random here: {text} {why}.", "See: espalier methods.")
    return Comparison(tuple(measured), tuple(raws.values()), tuple(left_out))


def random_of_size(
    evaluation: Evaluation,
    n_kept: int,
    whole: np.ndarray,
    seeds: int = 3,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[Quality, ...]:
    """Measure random subsets of ``n_kept`` samples that hold the rows ``whole`` (a mask) in any case."""
    rows = np.flatnonzero(~whole)
    out = []
    for seed in range(seeds):
        recipe = Recipe(Random(), Amount(count=n_kept - int(whole.sum())), Scope(seed=seed))
        kept = whole.copy()
        kept[rows[select(recipe, Features(len(rows))).kept]] = True
        out.append(evaluation.measure(kept))
        if progress:
            progress(1)
    return tuple(out)


def _runs(recipe: Recipe, seeds: int) -> list[Recipe]:
    if recipe.scope.seed != 0 or not recipe.method.draws(recipe.scope):
        return [recipe]
    scopes = (dataclasses.replace(recipe.scope, seed=seed) for seed in range(seeds))
    return [dataclasses.replace(recipe, scope=scope) for scope in scopes]


def _measured(
    recipe: Recipe,
    runs: list[Recipe],
    qualities: tuple[Quality, ...],
    randoms: tuple[Quality, ...],
    raw: tuple[Amount, tuple[Quality, ...]] | None,
) -> Measured:
    draws = recipe.method.draws(recipe.scope)
    itself = isinstance(recipe.method, Random)
    return Measured(
        recipe,
        tuple(run.scope.seed for run in runs) if draws else (),
        qualities,
        randoms,
        None if itself else judge(qualities, randoms),
        judge(qualities, raw[1]) if raw else None,
    )


def _draw(evaluation: Evaluation, n_kept: int, seed: int) -> np.ndarray:
    recipe = Recipe(Random(), Amount(count=n_kept), Scope(seed=seed))
    return select(recipe, Features(len(evaluation.vectors))).kept
