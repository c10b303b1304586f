"""``espalier why``: the fate of one sample, stage by stage."""

from typing import Any

import click

from espalier.cli.common import open_home, reporting


def _show(fate: dict[str, Any]) -> None:
    click.secho(f"{fate['sample_id']} of {fate['dataset']}", bold=True)
    for stage, words in fate["steps"].items():
        click.echo(f"  {stage:<20} {words}")
    for recipe, verdict in fate["recipes"].items():
        click.echo(f"  {recipe:<20} ", nl=False)
        click.secho(verdict["reason"], fg="green" if verdict["kept"] else None)


@click.command("why")
@click.argument("dataset")
@click.argument("sample")
@reporting(_show)
def command(dataset: str, sample: str) -> dict[str, Any]:
    """Tell what each stage decided about SAMPLE, and why.

    \b
    espalier why photos cat/0001.jpg
    """  # noqa: D301
    from espalier.apps.explain.ledger import why

    home = open_home()
    home.zone().card(dataset)
    return why(home, dataset, sample)
