"""``espalier demo``: the whole way on real data that needs no download."""

import click

METHODS = ("density", "kcenter", "balanced", "random")
RATIO = "0.3"
COMPARED = {"compare_methods": [m for m in METHODS if m != "random"], "compare_ratios": ["0.1", "0.3", "0.5"]}


@click.command("demo")
def command() -> None:
    """Prune scikit-learn's handwritten digits, with planted duplicates, by four recipes; compare them with random.

    \b
    espalier demo
    """  # noqa: D301
    from espalier.cli.common import table
    from espalier.cli.compare import compare, show
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import prune
    from espalier.core.prune.counts import kept_words
    from espalier.core.recipe import Recipe
    from espalier.io.digits import N_EXACT, N_NEAR, write_digits
    from espalier.io.home import Home

    home = Home.find().ensure()
    folder = write_digits(home.landing / "digits")
    click.echo(f"Real handwritten digits, {N_EXACT + N_NEAR} copies planted among them: {folder}")
    with Launcher(home) as launcher:
        summaries = [prune(launcher, "digits", Recipe.build(method, RATIO)) for method in METHODS]
        first = summaries[0]
        click.echo(
            f"\n{first['n_raw']:,} files, {first['n_exact']:,} exact copies, {first['n_near']:,} near duplicates, "
            f"{first['n_semantic']:,} semantic duplicates; {first['n_total']:,} reach pruning.\n"
        )
        rows = [[s["recipe"], kept_words(s), s["manifest"]] for s in summaries]
        table("", ["recipe", "kept", "manifest"], rows)
        click.echo("Is a subset any good? Each beside random of the same size:")
        show(compare(launcher, "digits", COMPARED))
    click.echo("\nSee every step, with its plots:  espalier ui   (or: make ui)")
