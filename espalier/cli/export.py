"""``espalier export``: the subset of a recipe as a dataset of its own."""

from typing import Any

import click

from espalier.cli.common import echo_export, export_options, launcher, reporting
from espalier.cli.export_request import ExportRequest
from espalier.core.errors import UsageError


@click.command("export")
@click.argument("dataset")
@click.argument("recipe")
@click.option(
    "--format",
    "export_format",
    default="",
    help="webdataset, parquet, hf_disk, jsonl, csv, image_folder, or what Datumaro writes [the dataset's own].",
)
@export_options
@reporting(echo_export)
def command(dataset: str, recipe: str, wanted: ExportRequest) -> dict[str, Any]:
    """Write the samples that RECIPE keeps of DATASET, with all that belongs to them, into a folder.

    Prunes first what is missing or stale. What a format cannot hold is told; what each keeps: docs/export.md.

    \b
    espalier export photos density@0.3 -o photos-small
    espalier export photos density@0.3 -o photos-small --link --overwrite
    espalier export photos density@0.3 -o photos-tars --format webdataset
    espalier export photos density@0.3 -o photos-coco --format coco
    """  # noqa: D301
    from espalier.cli.pruning import prune
    from espalier.core.recipe import Recipe

    if wanted.output is None and not wanted.in_place:
        raise UsageError("There is no folder to write to.", "Give one with -o.")
    with launcher() as runs:
        runs.home.zone().card(dataset)
        return prune(runs, dataset, Recipe.parse(recipe), wanted=wanted)
