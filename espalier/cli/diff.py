"""``espalier diff``: two recipes of a dataset beside each other."""

import click

from espalier.cli.common import json_option, print_json, table


@click.command("diff")
@click.argument("dataset")
@click.argument("recipe_a")
@click.argument("recipe_b")
@json_option
def command(dataset: str, recipe_a: str, recipe_b: str, as_json: bool) -> None:
    """Show what only one of two recipes keeps, by cluster and by label. --json lists the samples.

    \b
    espalier diff photos density@0.3 random@0.3
    """  # noqa: D301
    from espalier.apps.explain.ledger import diff
    from espalier.core.prune.counts import kept_words
    from espalier.core.recipe import Recipe
    from espalier.io.home import Home

    one, other = str(Recipe.parse(recipe_a)), str(Recipe.parse(recipe_b))
    found = diff(Home.find(), dataset, one, other)
    if as_json:
        print_json(found)
        return
    for counts in (found["counts_a"], found["counts_b"]):
        click.echo(f"{counts['recipe']}: kept {kept_words(counts)}")
    click.echo(f"Both keep {found['both']:,}; only {one}: {found['only_a']:,}; only {other}: {found['only_b']:,}.")
    columns = ["both", f"only {one}", f"only {other}"]
    for key in ("label", "cluster"):
        rows = [[r[key], r["both"], r["only_a"], r["only_b"]] for r in found[f"{key}s"]]
        if rows:
            table("", [key, *columns], rows, right=(1, 2, 3))
