"""``espalier forget``: remove what Espalier keeps of a dataset, never the user's files."""

import shutil
from typing import TYPE_CHECKING

import click

from espalier.cli.common import json_option, print_json
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone


@click.command("forget")
@click.argument("dataset")
@click.option("--recipe", help="Only this recipe's manifest of the dataset.")
@click.option("--delete-data", is_flag=True, help="Also delete the folder landing/DATASET, which is the data itself.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def command(dataset: str, recipe: str | None, delete_data: bool, yes: bool, as_json: bool) -> None:
    """Remove a dataset from Espalier: its card, its tables, its manifests, its place in Dagster.

    The data itself stays, wherever it lies.

    \b
    espalier forget photos
    espalier forget photos --recipe random@0.5
    """  # noqa: D301
    from espalier.cli.launch import prepare
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone
    from espalier.io.results.manifests import manifest_folder

    if as_json and not yes:
        raise UsageError("--json does not ask before it forgets.", "Add --yes.")
    home = prepare(Home.find())
    zone = LandingZone(home.landing)
    landed = _is_landed(home, zone, dataset)
    if recipe:
        recipe = _stored_recipe(home, dataset, recipe)
    what = f"{recipe} of {dataset}" if recipe else dataset
    if not yes:
        click.confirm(f"Forget {what}: tables and manifests?", abort=True, err=True)
    if recipe:
        link = manifest_folder(home.manifests, dataset, recipe)
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
            link.unlink()
    else:
        if landed:
            zone.forget(dataset, delete_data=delete_data)
        for folder in (home.manifests, home.reports):
            shutil.rmtree(folder / dataset, ignore_errors=True)
    gone = home.store().forget(dataset, recipe or "")
    if not recipe:
        _forget_in_dagster(home, dataset)
    if as_json:
        print_json({"dataset": dataset, "recipe": recipe, "tables_removed": gone})
    else:
        click.echo(f"Forgot {what}: {gone} tables removed; your files are where they were.")


def _is_landed(home: "Home", zone: "LandingZone", dataset: str) -> bool:
    """Tell whether a dataset has a place in the landing zone; one that has only tables can be forgotten too."""
    if dataset in zone.names() or dataset in zone.problems():
        return True
    if not home.store().holds(dataset):
        zone.card(dataset)
    return False


def _stored_recipe(home: "Home", dataset: str, text: str) -> str:
    """Return a recipe as it is stored; it reaches a path, so only one that is there is taken."""
    from espalier.core.recipe import Recipe

    stored = home.store().recipes(dataset)
    if text in stored:
        return text
    canonical = str(Recipe.parse(text))
    if canonical not in stored:
        known = ", ".join(stored) or "none"
        raise UsageError(f"{dataset!r} has no manifest of {canonical}.", f"It has: {known}.")
    return canonical


def _forget_in_dagster(home: "Home", dataset: str) -> None:
    """Take the partition out of Dagster. The events of its runs stay: SQLite storage cannot wipe a partition."""
    from assets.partitions import DATASET
    from espalier.cli.launch import open_instance

    with open_instance(home) as instance:
        if instance.has_dynamic_partition(DATASET, dataset):
            instance.delete_dynamic_partition(DATASET, dataset)
