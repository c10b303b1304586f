"""``espalier diff``: two recipes of a dataset beside each other."""

from typing import Any

import click

from espalier.cli.common import open_home, reporting, table


def _show(difference: dict[str, Any]) -> None:
    from espalier.core.prune.counts import kept_words

    one, other = difference["recipe_a"], difference["recipe_b"]
    for counts in (difference["counts_a"], difference["counts_b"]):
        click.echo(f"{counts['recipe']}: kept {kept_words(counts)}")
    both, only_a, only_b = (difference[key] for key in ("both", "only_a", "only_b"))
    click.echo(f"Both keep {both:,}; only {one}: {only_a:,}; only {other}: {only_b:,}.")
    for key in ("label", "cluster"):
        rows = [[r[key], r["both"], r["only_a"], r["only_b"]] for r in difference[f"{key}s"]]
        if rows:
            table("", [key, "both", f"only {one}", f"only {other}"], rows, right=(1, 2, 3))


@click.command("diff")
@click.argument("dataset")
@click.argument("recipe_a")
@click.argument("recipe_b")
@reporting(_show)
def command(dataset: str, recipe_a: str, recipe_b: str) -> dict[str, Any]:
    """Show what only one of two recipes keeps, by cluster and by label. --json lists the samples.

    \b
    espalier diff photos density@0.3 random@0.3
    """  # noqa: D301
    from espalier.apps.explain.ledger import diff
    from espalier.core.recipe import Recipe

    return diff(open_home(), dataset, str(Recipe.parse(recipe_a)), str(Recipe.parse(recipe_b)))
