"""``espalier export``: the subset of a recipe as a dataset of its own."""

from pathlib import Path

import click

from espalier.cli.common import json_option, print_json
from espalier.cli.exporting import Wanted, echo_export, export_options
from espalier.core.errors import UsageError


@click.command("export")
@click.argument("dataset")
@click.argument("recipe")
@click.option(
    "--format",
    "format_name",
    default="",
    help="webdataset, parquet, hf_disk, jsonl, csv, image_folder, or what Datumaro writes [the dataset's own].",
)
@export_options
@json_option
def command(
    dataset: str,
    recipe: str,
    format_name: str,
    output: Path | None,
    link: bool,
    overwrite: bool,
    in_place: bool,
    as_json: bool,
) -> None:
    """Write the samples that RECIPE keeps of DATASET, with all that belongs to them, into a folder.

    Prunes first what is missing or stale. What a format cannot hold is told; what each keeps: docs/export.md.

    \b
    espalier export photos density@0.3 -o photos-small
    espalier export photos density@0.3 -o photos-small --link --overwrite
    espalier export photos density@0.3 -o photos-tars --format webdataset
    espalier export photos density@0.3 -o photos-coco --format coco
    """  # noqa: D301
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import prune
    from espalier.core.recipe import Recipe
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

    wanted = Wanted(output, format_name, link, overwrite, in_place)
    if output is None and not in_place:
        raise UsageError("There is no folder to write to.", "Give one with -o.")
    home = Home.find()
    LandingZone(home.landing).card(dataset)
    with Launcher(home) as launcher:
        summary = prune(launcher, dataset, Recipe.parse(recipe), wanted=wanted)
    if as_json:
        print_json(summary)
    else:
        echo_export(summary)
