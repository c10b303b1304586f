"""``n_neighbors``: a recipe's own wins, the dataset's option serves recipes that say nothing, the summary names it."""

import json

import pytest

SILENT, TWO, TWENTY = "density@0.5", "density@0.5:n_neighbors=2", "density@0.5:n_neighbors=20"


@pytest.fixture(scope="module")
def data(tmp_path_factory, kit):
    """Textures of many colours, in two subsets."""
    root = tmp_path_factory.mktemp("neighbours") / "set"
    for subset, numbers in (("train", range(80)), ("val", range(100, 120))):
        (root / subset).mkdir(parents=True)
        for n in numbers:
            kit.texture(n).save(root / subset / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def kept(tmp_path_factory, data, kit):
    """What a recipe keeps of a dataset that has the option n_neighbors=2, and of one without it."""
    homes = {}
    for option in (None, 2):
        chain = kit.Chain(tmp_path_factory.mktemp("home"), data)
        given = {} if option is None else {"n_neighbors": option}
        chain.zone.land(data, "set", options={"k": 24, "eps": 0.0, **given})
        recipes = [f"{r}{tail}" for r in (SILENT, TWO, TWENTY) for tail in ("", ":subsets=train")]
        homes[option] = chain.grow(*recipes)
    return lambda option, recipe: homes[option].manifest(recipe)["kept.txt"]


def test_what_a_recipe_writes_wins_also_when_it_is_the_usual_number(kept):
    assert kept(2, TWENTY) == kept(None, SILENT)
    assert kept(2, SILENT) == kept(None, TWO)
    assert kept(2, SILENT) != kept(None, SILENT)


@pytest.mark.parametrize("tail", ["", ":subsets=train"])
def test_a_recipe_that_writes_the_datasets_number_keeps_what_a_silent_one_keeps(kept, tail):
    assert kept(2, TWO + tail) == kept(2, SILENT + tail)
    assert kept(None, TWENTY + tail) == kept(None, SILENT + tail)


def test_the_summary_names_the_number_that_was_used(tmp_path, data, espalier, kit):
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"n_neighbors": 2})
    used = {
        recipe: espalier("prune", "set", "--recipe", recipe, "--json", home=chain.home.root).json().get("n_neighbors")
        for recipe in (SILENT, "density@0.5:n_neighbors=5", TWENTY, "density@0.5:by=size", "random@0.5")
    }
    assert list(used.values()) == [2, 5, 20, None, None]
    written = espalier("prune", "set", "-m", "density", "--param", "n_neighbors=20", "--json", home=chain.home.root)
    assert (written.json()["recipe"], written.json()["n_neighbors"]) == (TWENTY, 20)
    assert json.loads(chain.manifest(SILENT)["summary.json"])["n_neighbors"] == 2
