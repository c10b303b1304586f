"""``espalier land``: a card for data that stays where it is, with embeddings for it where you have some."""

from typing import Any

import click

from espalier.cli.common import json_option, option_pairs, print_json
from espalier.core.errors import UsageError


@click.command("land")
@click.argument("dataset", metavar="PATH|DATASET")
@click.option("--name", help="Name of the dataset [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data [found out].")
@click.option("--embeddings", metavar="PATH", help="Your own vectors with the samples' ids, taken instead of encoding.")
@click.option("--no-embeddings", is_flag=True, help="Leave the vectors that were brought, and encode again.")
@option_pairs
@json_option
def command(
    dataset: str,
    name: str | None,
    format_name: str | None,
    embeddings: str | None,
    no_embeddings: bool,
    option: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make PATH (a folder or a URL) a dataset: writes a card, copies nothing.

    Embeddings are npy files with ids as clip-retrieval writes them, a column of a Parquet file, or DataComp's npz;
    docs/embeddings.md has the layouts.

    \b
    espalier land photos/
    espalier land s3://bucket/photos --name photos --option k=50
    espalier land photos --embeddings vectors/
    espalier land laion/ --embeddings 'laion-vectors/#array=l14_img'
    """  # noqa: D301
    from espalier.cli.preflight import holds_texts
    from espalier.cli.pruning import dataset_of
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone
    from espalier.io.precomputed.alignment import report

    if embeddings is not None and no_embeddings:
        raise UsageError("--embeddings and --no-embeddings exclude each other.", "Give one of them.")
    if embeddings is not None or no_embeddings:
        option = (*option, f"embeddings={_yaml(embeddings or '')}")
    home = Home.find().ensure()
    fits: list[dict[str, Any]] = []
    card = LandingZone(home.landing).card(dataset_of(home, dataset, name, format_name, option, fits.append))
    if as_json:
        found = {"dataset": card.name, "uri": card.uri, "format": card.format, "options": card.options}
        print_json(found | ({"embeddings": fits[0]} if fits else {}))
        return
    click.echo(f"Landed {card.name}: {card.uri}")
    for fit in fits:
        click.echo(f"Embeddings of {fit['dim']} components: {report(fit)}")
        if "text_copies" not in card.options and holds_texts(LandingZone(home.landing), card.name):
            click.echo("Its samples are texts, and equal ones count as copies. If they caption pictures that are not")
            click.echo(f"here, leave them: espalier land {card.name} --option text_copies=false")
    click.echo(f"Next: espalier prune {card.name} -m density -r 0.3")


def _yaml(text: str) -> str:
    """Quote a text for ``--option``."""
    return "'" + text.replace("'", "''") + "'"
