"""``espalier demo``: the whole way on real data that needs no download."""

import click

RECIPES = ("density@0.3", "stratified@0.3", "balanced@0.3", "random@0.3")


@click.command("demo")
def command() -> None:
    """Prune scikit-learn's handwritten digits, with planted duplicates, by four recipes."""
    from cli.common import table
    from cli.launch import Launcher
    from cli.prune import prune
    from espalier.recipe import Recipe
    from resources.digits import write_digits
    from resources.home import Home

    home = Home.find().ensure()
    folder = write_digits(home.landing / "digits")
    click.echo(f"Real handwritten digits, 240 copies planted among them: {folder}")
    with Launcher(home) as launcher:
        summaries = [prune(launcher, "digits", Recipe.parse(text)) for text in RECIPES]
    first = summaries[0]
    click.echo(
        f"\n{first['n_raw']:,} files, {first['n_exact']:,} exact copies, {first['n_near']:,} near duplicates, "
        f"{first['n_semantic']:,} semantic duplicates; {first['n_total']:,} reach pruning.\n"
    )
    rows = [[s["recipe"], f"{s['n_kept']:,} of {s['n_total']:,}", s["manifest"]] for s in summaries]
    table("", ["recipe", "kept", "manifest"], rows)
    click.echo("See every step, with its plots:  espalier ui   (or: make ui)")
