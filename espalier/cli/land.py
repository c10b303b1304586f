"""``espalier land``: a card for data that stays where it is, with embeddings for it where you have some."""

from typing import Any

import click

from espalier.cli.common import open_home, option_pairs, reporting, to_json
from espalier.core.errors import UsageError


def _show(landed: dict[str, Any]) -> None:
    name = landed["dataset"]
    click.echo(f"Landed {name}: {landed['uri']}")
    if fit := landed.get("embeddings"):
        from espalier.cli.preflight import holds_texts
        from espalier.io.precomputed.alignment import report

        click.echo(f"Embeddings of {fit['dim']} components: {report(fit)}")
        if "text_copies" not in landed["options"] and holds_texts(open_home().zone(), name):
            click.echo("Its samples are texts, and equal ones count as copies. If they caption pictures that are not")
            click.echo(f"here, leave them: espalier land {name} --option text_copies=false")
    click.echo(f"Next: espalier prune {name} -m density -r 0.3")


@click.command("land")
@click.argument("dataset", metavar="PATH|DATASET")
@click.option("--name", help="Name of the dataset [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data [found out].")
@click.option("--embeddings", metavar="PATH", help="Your own vectors with the samples' ids, taken instead of encoding.")
@click.option("--no-embeddings", is_flag=True, help="Leave the vectors that were brought, and encode again.")
@option_pairs
@reporting(_show)
def command(
    dataset: str, embeddings: str | None, no_embeddings: bool, option: tuple[str, ...], **given: str | None
) -> dict[str, Any]:
    """Make PATH (a folder or a URL) a dataset: writes a card, copies nothing.

    Embeddings are npy files with ids as clip-retrieval writes them, a column of a Parquet file, or DataComp's npz;
    docs/embeddings.md has the layouts.

    \b
    espalier land photos/
    espalier land s3://bucket/photos --name photos --option k=50
    espalier land photos --embeddings vectors/
    espalier land laion/ --embeddings 'laion-vectors/#array=l14_img'
    """  # noqa: D301
    from espalier.cli.pruning import dataset_of

    if embeddings is not None and no_embeddings:
        raise UsageError("--embeddings and --no-embeddings exclude each other.", "Give one of them.")
    if embeddings is not None or no_embeddings:
        option = (*option, f"embeddings={to_json(embeddings or '')}")
    home, fits = open_home().ensure(), list[dict[str, Any]]()
    card = home.zone().card(dataset_of(home, dataset, **given, option=option, tell=fits.append))
    landed = {"dataset": card.name, "uri": card.uri, "format": card.format, "options": card.options}
    return landed | ({"embeddings": fits[0]} if fits else {})
