"""``espalier forget``: remove what Espalier keeps of a dataset, never the user's files."""

import shutil
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import open_home, reporting
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.io.home import Home


def _show(report: dict[str, Any]) -> None:
    click.echo(f"Forgot {_what(**report)}: {report['tables_removed']} tables removed; your files are where they were.")


def _what(dataset: str, recipe: str | None, **_: object) -> str:
    return f"{recipe} of {dataset}" if recipe else dataset


@click.command("forget")
@click.argument("dataset")
@click.option("--recipe", help="Only this recipe's manifest of the dataset.")
@click.option("--delete-data", is_flag=True, help="Also delete the folder landing/DATASET, which is the data itself.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@reporting(_show)
def command(dataset: str, recipe: str | None, delete_data: bool, yes: bool) -> dict[str, Any]:
    """Remove a dataset from Espalier: its card, its tables, its manifests, its place in Dagster.

    The data itself stays, wherever it lies.

    \b
    espalier forget photos
    espalier forget photos --recipe random@0.5
    """  # noqa: D301
    from espalier.cli.launch import prepare
    from espalier.io.results import manifest_folder

    if click.get_current_context().params["as_json"] and not yes:
        raise UsageError("--json does not ask before it forgets.", "Add --yes.")
    home = prepare(open_home())
    zone = home.zone()
    landed = dataset in zone.names() or dataset in zone.problems()
    if not landed and not home.store().holds(dataset):
        zone.card(dataset)  # says that there is no such dataset; one that has only tables can be forgotten
    if recipe:
        recipe = _stored_recipe(home, dataset, recipe)
    if not yes:
        click.confirm(f"Forget {_what(dataset, recipe)}: tables and manifests?", abort=True, err=True)
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
    n_removed = home.store().forget(dataset, recipe or "")
    if not recipe:
        _forget_in_dagster(home, dataset)
    return {"dataset": dataset, "recipe": recipe, "tables_removed": n_removed}


def _stored_recipe(home: "Home", dataset: str, text: str) -> str:
    """Return a recipe as it is stored; it reaches a path, so only one that is there is taken."""
    from espalier.core.recipe import Recipe

    stored = home.store().recipes(dataset)
    recipe = text if text in stored else str(Recipe.parse(text))
    if recipe not in stored:
        raise UsageError(f"{dataset!r} has no manifest of {recipe}.", f"It has: {', '.join(stored) or 'none'}.")
    return recipe


def _forget_in_dagster(home: "Home", dataset: str) -> None:
    """Take the partition out of Dagster. The events of its runs stay: SQLite storage cannot wipe a partition."""
    from assets.partitions import DATASET
    from espalier.cli.launch import open_instance

    with open_instance(home) as instance:
        if instance.has_dynamic_partition(DATASET, dataset):
            instance.delete_dynamic_partition(DATASET, dataset)
