"""``espalier why``: the fate of one sample, stage by stage."""

import click

from espalier.cli.common import json_option, print_json


@click.command("why")
@click.argument("dataset")
@click.argument("sample")
@json_option
def command(dataset: str, sample: str, as_json: bool) -> None:
    """Tell what each stage decided about SAMPLE, and why.

    \b
    espalier why photos cat/0001.jpg
    """  # noqa: D301
    from espalier.apps.explain.ledger import why
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

    home = Home.find()
    LandingZone(home.landing).card(dataset)
    fate = why(home, dataset, sample)
    if as_json:
        recipes = {r: {"kept": kept, "reason": words} for r, (kept, words) in fate.recipes.items()}
        print_json(
            {"dataset": dataset, "sample_id": sample, "steps": dict(fate.steps), "recipes": recipes} | fate.facts
        )
        return
    click.secho(f"{sample} of {dataset}", bold=True)
    for stage, words in fate.steps:
        click.echo(f"  {stage:<20} {words}")
    for recipe, (kept, words) in fate.recipes.items():
        click.echo(f"  {recipe:<20} ", nl=False)
        click.secho(words, fg="green" if kept else None)
