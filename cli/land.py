"""``espalier land``: a card for data that stays where it is."""

import click

from cli.common import json_option, option_pairs, print_json


@click.command("land")
@click.argument("path")
@click.option("--name", help="Name of the dataset [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data [found out].")
@option_pairs
@json_option
def command(path: str, name: str | None, format_name: str | None, option: tuple[str, ...], as_json: bool) -> None:
    """Make PATH (a folder or a URL) a dataset: writes a card, copies nothing.

    \b
    espalier land photos/
    espalier land s3://bucket/photos --name photos --option k=50
    """  # noqa: D301
    from cli.door import land, stage_options
    from resources.home import Home
    from resources.landing import LandingZone

    chain = stage_options(option)
    home = Home.find().ensure()
    card = land(LandingZone(home.landing), path, name, format_name, chain)
    if as_json:
        print_json({"dataset": card.name, "uri": card.uri, "format": card.format, "options": card.chain})
    else:
        click.echo(f"Landed {card.name}: {card.uri}")
        click.echo(f"Next: espalier prune {card.name} -m density -r 0.3")
