"""The grammar of recipes: what is read, how it is written back, what is refused and with which words."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune import METHODS
from espalier.core.prune.scope import Scope
from espalier.core.recipe import Amount, Recipe, describe, fields_of


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("random@0.5", "random@0.5"),
        ("density@0.3:min_clip_score=0.20", "density@0.3:min_clip_score=0.2"),
        ("kcenter@0.3:min_clip_score=-0.1", "kcenter@0.3:min_clip_score=-0.1"),
        ("random@50%", "random@0.5"),
        ("random@.50", "random@0.5"),
        ("random@1.0", "random@1"),
        ("random@0.28:seed=0", "random@0.28"),
        ("random@n50000", "random@n50000"),
        ("density@28%:keep=hard", "density@0.28"),
        ("density@0.28:temperature=0.20:keep=easy", "density@0.28:keep=easy:temperature=0.2"),
        ("query_clust@0.8:hash=txt", "query_clust@0.8:hash=txt"),
        ("random@0.5:subsets=val+train+val", "random@0.5:subsets=train+val"),
        ("balanced@0.5:mix=dog-1+cat-3", "balanced@0.5:mix=cat-3+dog-1"),
        ("cluster_random@0.3:space=hash:min_per_class=5", "cluster_random@0.3:min_per_class=5:space=hash"),
    ],
)
def test_a_recipe_has_one_canonical_form(text: str, written: str) -> None:
    assert str(Recipe.parse(text)) == written
    assert Recipe.parse(written) == Recipe.parse(text)


def values(name: str, kind: object) -> st.SearchStrategy[str]:
    ranges = {"temperature": ("0.01", "100"), "cls_bal_ratio": ("0", "1"), "min_clip_score": ("-1", "1")}
    if name == "block_shape":
        return st.sampled_from(["8x8", "1x1", "4x9"])
    if name == "hash_dim":
        return st.integers(1, 7).map(str)
    if kind is int or name == "n_neighbors":
        return st.integers(1, 10**6).map(str)
    if kind is float or name == "min_clip_score":
        low, high = ranges.get(name, ("0.01", "0.99"))
        return st.decimals(low, high, places=4).map(lambda d: format(d, "f"))
    if kind is bool:
        return st.sampled_from(["true", "false"])
    if name == "mix":
        return st.lists(st.sampled_from("abc"), unique=True, min_size=1).map(
            lambda names: "+".join(f"{n}-{i}" for i, n in enumerate(names, 1))
        )
    if kind is str:
        return st.text("abcxyz", min_size=1, max_size=6)
    if str(kind).startswith("tuple"):
        return st.lists(st.text("abcxyz019_", min_size=1, max_size=6), min_size=1, max_size=3).map("+".join)
    return st.sampled_from(describe(kind).split(" | "))


@st.composite
def recipe_texts(draw: st.DrawFn) -> str:
    kind = METHODS[draw(st.sampled_from(sorted(METHODS)))]
    known = fields_of(kind) | {k: v for k, v in fields_of(Scope).items() if k in kind.accepts}
    names = draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    amount = draw(
        st.one_of(
            st.integers(1, 10**9).map(lambda n: f"n{n}"),
            st.decimals("0.000001", 1, places=9).filter(lambda d: d > 0).map(lambda d: format(d, "f")),
            st.decimals("0.0001", 100, places=5).filter(lambda d: d > 0).map(lambda d: f"{d:f}%"),
        )
    )
    return f"{kind.name}@{amount}" + "".join(f":{n}={draw(values(n, known[n].kind))}" for n in names)


@given(text=recipe_texts())
def test_what_is_written_reads_back_as_the_same_recipe(text: str) -> None:
    try:
        recipe = Recipe.parse(text)
    except UsageError as refused:  # parameters that exclude each other
        excluded = ("no effect", "say the same", "hash_dim", "Name two subsets")
        assume(not any(words in str(refused) for words in excluded))
        raise
    assert Recipe.parse(str(recipe)) == recipe
    assert str(Recipe.parse(str(recipe))) == str(recipe)
    assert not set(str(recipe)) & set("|,/\\ '\"")
    assert ".." not in str(recipe)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_least_clip_score(method: str) -> None:
    assert Recipe.parse(f"{method}@0.3:min_clip_score=0.2").scope.min_clip_score == 0.2


@pytest.mark.parametrize("score", ["1.5", "-2", "nan", "none", "0,2"])
def test_a_clip_score_that_is_no_cosine_is_refused(score: str) -> None:
    with pytest.raises(UsageError, match="min_clip_score"):
        Recipe.parse(f"random@0.5:min_clip_score={score}")


def test_a_parameter_that_a_dataset_has_an_option_for_stays_written_whatever_its_value() -> None:
    assert str(Recipe.parse("density@0.3")) == "density@0.3"
    for value in (5, 20):
        written = Recipe.parse(f"density@0.3:n_neighbors={value}")
        assert str(written) == f"density@0.3:n_neighbors={value}"
        assert written != Recipe.parse("density@0.3")


def test_neighbours_without_complexity_are_refused_also_when_they_are_the_usual_number() -> None:
    with pytest.raises(UsageError, match="n_neighbors=20 has no effect with by=size"):
        Recipe.parse("density@0.3:by=size:n_neighbors=20")


def test_every_parameter_of_every_method_can_be_described() -> None:
    for kind in [*METHODS.values(), Scope]:
        for parameter in fields_of(kind).values():
            assert describe(parameter.kind)


def test_seven_hundredths_of_a_hundred_are_seven() -> None:
    assert Amount.parse("0.07").target(100) == 7  # math.ceil(100 * 0.07) is 8
    assert Amount.parse("7%").target(100) == 7
    assert Amount.parse("0.07").target(101) == 8


@given(share=st.decimals("0.0001", 1, places=6).filter(lambda d: d > 0), n=st.integers(1, 10**12))
def test_the_target_is_the_ceiling_in_exact_arithmetic(share: Decimal, n: int) -> None:
    target = Amount.parse(format(share, "f")).target(n)
    assert target - 1 < Fraction(share) * n <= target


@given(n=st.integers(1, 10**9))
def test_everything_is_everything(n: int) -> None:
    assert Amount.parse("1").target(n) == Amount.parse("100%").target(n) == n


def test_a_bare_eighty_is_refused_with_both_readings() -> None:
    with pytest.raises(UsageError, match=r"ambiguous.*80%.*n80"):
        Recipe.parse("random@80")


@pytest.mark.parametrize("amount", ["0", "0%", "n0", "1.5", "101%", "-0.5", "1e-3", "nan", "", "half", "n1.5", "٠.٥"])
def test_an_amount_out_of_range_is_refused(amount: str) -> None:
    with pytest.raises(UsageError, match=r"ratio|at least one"):
        Recipe.parse(f"random@{amount}")


def test_a_count_above_what_there_is_is_refused() -> None:
    with pytest.raises(UsageError, match="n11 asks for more than the 10 samples"):
        Amount.parse("n11").target(10)


def test_an_unknown_method_is_refused_with_the_list_of_methods() -> None:
    with pytest.raises(UsageError) as refused:
        Recipe.parse("densty@0.5")
    assert "'densty'" in str(refused.value)
    assert all(name in str(refused.value) for name in METHODS)


def test_an_unknown_parameter_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"density has no parameter 'temprature'.*cls_bal_ratio.*temperature"):
        Recipe.parse("density@0.5:temprature=1")


def test_a_parameter_that_the_method_ignores_is_refused() -> None:
    with pytest.raises(UsageError, match="random has no parameter 'space'"):
        Recipe.parse("random@0.5:space=hash")
    with pytest.raises(UsageError, match="seed=3 has no effect: density draws nothing"):
        Recipe.parse("density@0.5:seed=3")
    assert Recipe.parse("density@0.5:keep=random:seed=3").scope.seed == 3
    assert Recipe.parse("density@0.5:space=hash:seed=3").scope.seed == 3
    with pytest.raises(UsageError, match=r"temperature=0\.2 has no effect with by=size"):
        Recipe.parse("density@0.5:by=size:temperature=0.2")
    with pytest.raises(UsageError, match="space=hash has no effect with hash=txt"):
        Recipe.parse("query_clust@0.5:hash=txt:space=hash")
    with pytest.raises(UsageError, match="space=hash has no effect with hash=both"):
        Recipe.parse("query_clust@0.5:hash=both:space=hash")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("density@0.5:keep=hardest", "keep=hardest is not valid.*hard | easy | random"),
        ("density@0.5:temperature=hot", "temperature takes a number"),
        ("density@0.5:temperature=0", "temperature=0.0 is out of range.*at least"),
        ("density@0.5:cls_bal_ratio=1.5", "cls_bal_ratio=1.5 is out of range.*at least 0 and at most 1"),
        ("density@0.5:n_neighbors=0", "n_neighbors=0 is out of range.*at least 1"),
        ("density@0.5:n_neighbors=1.5", "n_neighbors takes an integer"),
        ("stratified@0.5:bins=0", "bins=0 is out of range"),
        ("prototypes@0.5:cls_bal_ratio=-1", "cls_bal_ratio=-1.0 is out of range"),
        ("balanced@0.5:mix=cat", "'cat' is not LABEL-WEIGHT"),
        ("balanced@0.5:mix=cat-1+cat-2", "names a label twice"),
        ("random@0.5:min_per_class=-1", "min_per_class=-1 is out of range.*at least 0"),
        ("random@0.5:subsets=a..b", "subsets=a..b is not valid"),
        ("random@0.5:subsets=../etc", "subsets=../etc is not valid"),
        ("random@0.5:seed=1:seed=2", "'seed' is given twice"),
        ("random@0.5:seed", "'seed' in .* is not name=value"),
        ("random@0.5:seed=", "is not name=value"),
        ("random", "not a recipe"),
        ("random0.5", "not a recipe"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_admitted(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        Recipe.parse(text)
    assert isinstance(refused.value, EspalierError)
    assert refused.value.exit_code == 2


def test_a_ratio_of_many_digits_is_not_rounded() -> None:
    text = "random@0.1234567890123456789012345678"
    assert str(Recipe.parse(text)) == text


def test_the_papers_word_for_keep_is_read_as_it():
    assert str(Recipe.parse("density@0.3:which_to_keep=easy")) == "density@0.3:keep=easy"
    with pytest.raises(UsageError, match="given twice: which_to_keep"):
        Recipe.parse("density@0.3:keep=easy:which_to_keep=hard")
