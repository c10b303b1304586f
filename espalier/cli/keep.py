"""``espalier keep``: verdicts of a human, stored in the dataset's card and honoured by every later run."""

from typing import Any

import click

from espalier.cli.common import open_home, reporting


def _show(verdicts: dict[str, Any]) -> None:
    dataset, n_kept, n_dropped = verdicts["dataset"], len(verdicts["keep"]), len(verdicts["drop"])
    click.echo(f"{dataset}: {n_kept} samples kept and {n_dropped} dropped by hand.")
    click.echo(f"The next run honours it: espalier prune {dataset} ...")


def verdict_command(verb: str, meaning: str) -> click.Command:
    """Make the command ``espalier <verb> DATASET SAMPLE...``."""

    @click.command(verb, help=f"Mark samples as {meaning}.\n\n\b\nespalier {verb} photos cat/0001.jpg cat/0002.jpg")
    @click.argument("dataset")
    @click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
    @click.option("--clear", is_flag=True, help="Take verdicts on these samples back.")
    @reporting(_show)
    def command(dataset: str, samples: tuple[str, ...], clear: bool) -> dict[str, Any]:
        from espalier.apps.explain.ledger import check_samples

        home = open_home()
        zone = home.zone()
        zone.card(dataset)
        check_samples(home, dataset, samples)
        card = zone.record_verdicts(dataset, **{"clear" if clear else verb: samples})
        return {"dataset": dataset, "keep": card.keep, "drop": card.drop}

    return command


command = verdict_command("keep", "kept, whatever the stages say (a recipe still keeps its exact number)")
