"""What holds for every method: exact counts, quotas within bounds, the shared scope, repeatability."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espalier.core.errors import EspalierError
from espalier.core.prune import METHODS, Features, Rule, Selection
from espalier.core.prune.select import needs, select
from espalier.core.recipe import Recipe

Make = Callable[..., Features]

VARIANTS = [
    "random",
    "cluster_random",
    "cluster_random:space=hash",
    "centroid",
    "centroid:space=hash",
    "query_clust",
    "query_clust:pick=nearest",
    "query_clust:hash=txt",
    "query_clust:hash=both",
    "query_clust:space=hash",
    "entropy",
    "ndr",
    "ndr:per_subset=true",
    "ndr:over_sample=similarity:under_sample=inverse",
    "density",
    "density:keep=easy:by=uniform",
    "density:keep=random:by=size",
    "density:n_neighbors=2:cls_bal_ratio=0",
    "density:space=hash",
    "prototypes",
    "prototypes:balance=label:keep=easy",
    "stratified",
    "stratified:bins=3",
    "kcenter",
    "kcenter:space=hash",
    "balanced",
    "balanced:mix=label0-3",
]
GENTLE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def recipe_of(variant: str, amount: str) -> Recipe:
    name, _, rest = variant.partition(":")
    return Recipe.parse(f"{name}@{amount}" + (f":{rest}" if rest else ""))


def check_words(selection: Selection, features: Features) -> None:
    """The promises of Selection's docstring."""
    rule = np.zeros(features.n) if selection.rule is None else selection.rule
    seen = selection.group >= 0
    plain = seen & (rule == Rule.METHOD)
    assert (selection.kept == (selection.rank <= selection.quota[selection.group]))[plain].all()
    size = np.bincount(selection.group[seen], minlength=len(selection.quota))
    assert (selection.quota <= size).all()
    assert (selection.quota >= 0).all()
    order = np.lexsort((selection.rank, selection.group))
    order = order[seen[order]]
    assert selection.rank[order].tolist() == [r for s in size.tolist() for r in range(1, s + 1)]
    assert not selection.group_names or len(selection.group_names) == len(size)


def test_every_method_is_among_the_variants() -> None:
    assert {v.partition(":")[0] for v in VARIANTS} == set(METHODS)


@pytest.mark.parametrize("variant", VARIANTS)
@GENTLE
@given(
    n=st.integers(1, 80),
    share=st.fractions(Fraction(1, 1000), 1, max_denominator=1000),
    clusters=st.integers(1, 12),
    n_labels=st.integers(1, 4),
    labels=st.sampled_from(["one", "some", "several"]),
    copies=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_count_is_exact(
    variant: str, n: int, share: Fraction, clusters: int, n_labels: int, labels: str, copies: float, features_of: Make
) -> None:
    features = features_of(n, clusters=clusters, n_labels=n_labels, labels=labels, copies=copies)
    recipe = recipe_of(variant, f"{float(share):.6f}")
    selection = select(recipe, features)
    assert selection.kept.sum() == recipe.amount.target(n)
    assert selection.kept.dtype == bool
    assert selection.kept.shape == (n,)
    check_words(selection, features)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_kept_and_one_kept_are_exact_too(variant: str, features_of: Make) -> None:
    features = features_of(50, clusters=9, labels="several")
    assert select(recipe_of(variant, "1"), features).kept.all()
    assert select(recipe_of(variant, "n1"), features).kept.sum() == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_recipe_keeps_the_same_samples(variant: str, features_of: Make) -> None:
    features = features_of(200, clusters=6, labels="several")
    first, again = (select(recipe_of(variant, "0.3"), features) for _ in range(2))
    assert (first.kept == again.kept).all()
    assert (first.rank == again.rank).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_matters_where_something_is_drawn_and_is_refused_elsewhere(variant: str, features_of: Make) -> None:
    recipe = recipe_of(variant, "0.3")
    drawn = recipe.method.draws(recipe.scope)
    if not drawn:
        with pytest.raises(EspalierError, match="seed"):
            recipe_of(f"{variant}:seed=7", "0.3")
        return
    features = features_of(300, clusters=6, labels="several", seed=3)
    kept = [select(recipe_of(f"{variant}:seed={seed}", "0.3"), features).kept for seed in range(4)]
    assert any((kept[0] != other).any() for other in kept[1:])


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_read_but_what_the_method_needs(variant: str, features_of: Make) -> None:
    """The loader loads what ``needs`` names, and nothing else."""
    recipe, full = recipe_of(variant, "0.4"), features_of(60, labels="several")
    fields = {f: getattr(full, f) for f in needs(recipe) - {"complexity", "centroids"}}
    if needs(recipe) & {"complexity", "centroids"}:
        fields["clusters"] = full.clusters
    lean = Features(60, **fields)
    assert (select(recipe, lean).kept == select(recipe, full).kept).all()


@pytest.mark.parametrize("variant", ["density", "prototypes", "kcenter", "query_clust:pick=nearest"])
def test_what_draws_nothing_does_not_depend_on_the_order_of_the_rows(variant: str, features_of: Make) -> None:
    features = features_of(150, clusters=5)
    order = np.random.default_rng(1).permutation(150)
    plain = select(recipe_of(variant, "0.4"), features).kept
    shuffled = select(recipe_of(variant, "0.4"), features.take(order)).kept
    assert (plain[order] == shuffled).all()


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "ndr:per_subset=true"])  # one subset is refused
@GENTLE
@given(data=st.data())
def test_only_the_named_subsets_are_pruned(variant: str, data: st.DataObject, features_of: Make) -> None:
    n = data.draw(st.integers(4, 40))
    names = np.array(data.draw(st.lists(st.sampled_from(["", "train", "val"]), min_size=n, max_size=n)), "U5")
    names[:2] = "train"
    features = features_of(n, labels="one")
    selection = select(recipe_of(f"{variant}:subsets=train", "0.35"), features, names)
    inside = names == "train"
    assert selection.kept[~inside].all()
    assert selection.kept[inside].sum() == -(-35 * inside.sum() // 100)
    assert selection.rule is None or (selection.rule[~inside] == Rule.WHOLE).all()
    check_words(selection, features)


@pytest.mark.parametrize("variant", VARIANTS)
@GENTLE
@given(
    n=st.integers(10, 80),
    least=st.integers(1, 6),
    labels=st.sampled_from(["one", "some", "several"]),
)
def test_every_label_keeps_its_least_number(variant: str, n: int, least: int, labels: str, features_of: Make) -> None:
    features = features_of(n, clusters=5, n_labels=4, labels=labels)
    recipe = recipe_of(f"{variant}:min_per_class={least}", "0.3")
    target = recipe.amount.target(n)
    have = np.bincount(features.labels.codes, minlength=4)
    try:
        selection = select(recipe, features)
    except EspalierError as refused:
        assert f"min_per_class={least} needs" in str(refused)  # noqa: PT017
        assert labels == "several" or np.minimum(have, least).sum() > target
        return
    assert selection.kept.sum() == target
    sample = np.repeat(np.arange(n), np.diff(features.labels.indptr))
    left = np.bincount(features.labels.codes, weights=selection.kept[sample], minlength=4)
    assert (left >= np.minimum(have, least)).all()
    check_words(selection, features)


@pytest.mark.parametrize("variant", VARIANTS)
@GENTLE
@given(data=st.data(), n=st.integers(3, 60))
def test_verdicts_are_obeyed_and_count_towards_the_target(
    variant: str, data: st.DataObject, n: int, features_of: Make
) -> None:
    verdict = np.array(data.draw(st.lists(st.sampled_from([-1, 0, 0, 0, 1]), min_size=n, max_size=n)))
    features = features_of(n, clusters=4)
    recipe = recipe_of(variant, "0.5")
    target = recipe.amount.target(n)
    keep, drop = verdict == 1, verdict == -1
    if keep.sum() > target or target > (~drop).sum() or not (~drop & (np.diff(features.labels.indptr) > 0)).any():
        with pytest.raises(EspalierError):
            select(recipe, features, forced_keep=keep, forced_drop=drop)
        return
    selection = select(recipe, features, forced_keep=keep, forced_drop=drop)
    assert selection.kept.sum() == target
    assert selection.kept[keep].all()
    assert not selection.kept[drop].any()
    check_words(selection, features)
