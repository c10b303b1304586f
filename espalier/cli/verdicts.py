"""What ``keep`` and ``drop`` share: verdicts of a human, stored in the landing card and honoured by every later run."""

import click

from espalier.cli.common import json_option, print_json


def verdict_command(verb: str, meaning: str) -> click.Command:
    """Make the command ``espalier <verb> DATASET SAMPLE...``."""

    @click.command(verb, help=f"Mark samples as {meaning}.\n\n\b\nespalier {verb} photos cat/0001.jpg cat/0002.jpg")
    @click.argument("dataset")
    @click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
    @click.option("--clear", is_flag=True, help="Take verdicts on these samples back.")
    @json_option
    def command(dataset: str, samples: tuple[str, ...], clear: bool, as_json: bool) -> None:
        from espalier.apps.explain.ledger import check_samples
        from espalier.io.home import Home
        from espalier.io.landing.zone import LandingZone

        home = Home.find()
        zone = LandingZone(home.landing)
        zone.card(dataset)
        check_samples(home, dataset, samples)
        card = zone.record_verdicts(dataset, **{"clear" if clear else verb: samples})
        if as_json:
            print_json({"dataset": dataset, "keep": card.keep, "drop": card.drop})
        else:
            click.echo(f"{dataset}: {len(card.keep)} samples kept and {len(card.drop)} dropped by hand.")
            click.echo(f"The next run honours it: espalier prune {dataset} ...")

    return command
