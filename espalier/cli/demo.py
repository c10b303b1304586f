"""``espalier demo``: the whole way on real data that needs no download."""

import click

from espalier.cli.common import launcher, table

METHODS = ("density", "kcenter", "balanced", "random")
RATIO = "0.3"
COMPARED = {"compare_methods": [m for m in METHODS if m != "random"], "compare_ratios": ["0.1", "0.3", "0.5"]}


@click.command("demo")
def command() -> None:
    """Prune scikit-learn's handwritten digits, with planted duplicates, by four recipes; compare them with random.

    \b
    espalier demo
    """  # noqa: D301
    from espalier.cli.compare import compare, show
    from espalier.cli.pruning import prune
    from espalier.core.prune.counts import kept_words
    from espalier.core.recipe import Recipe
    from espalier.io.digits import N_EXACT, N_NEAR, write_digits

    with launcher() as runs:
        folder = write_digits(runs.home.landing / "digits")
        click.echo(f"Real handwritten digits, {N_EXACT + N_NEAR} copies planted among them: {folder}")
        summaries = [prune(runs, "digits", Recipe.build(method, RATIO)) for method in METHODS]
        first = summaries[0]
        click.echo(
            f"\n{first['n_raw']:,} files, {first['n_exact']:,} exact copies, {first['n_near']:,} near duplicates, "
            f"{first['n_semantic']:,} semantic duplicates; {first['n_total']:,} reach pruning.\n"
        )
        table("", ["recipe", "kept", "manifest"], [[s["recipe"], kept_words(s), s["manifest"]] for s in summaries])
        click.echo("Is a subset any good? Each beside random of the same size:")
        show(compare(runs, "digits", COMPARED))
    click.echo("\nSee every step, with its plots:  espalier ui   (or: make ui)")
