"""``espalier prune``: from a folder or a dataset's name to a manifest."""

from pathlib import Path

import click

from espalier.cli.common import json_option, option_pairs, print_json
from espalier.cli.exporting import Wanted, echo_export, export_options
from espalier.core.errors import UsageError


@click.command("prune")
@click.argument("dataset", metavar="DATASET|PATH")
@click.option("-m", "--method", default="random", show_default=True, help="See: espalier methods.")
@click.option("-r", "--ratio", default="0.5", show_default=True, help="Share to keep (0.3, 30%) or a count (n5000).")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="A parameter of the method; repeatable.")
@click.option("--recipe", help="The whole recipe in one text, instead of -m, -r and --param.")
@click.option(
    "--hash-type",
    type=click.Choice(["img", "txt", "both"]),
    help="What query_clust clusters: images, texts, or the hashes of both together (Datumaro's txt). "
    "On a dataset of texts txt has every method that clusters take their hashes.",
)
@click.option("--name", help="Name of the dataset when a PATH is given [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data when a PATH is given [found out].")
@click.option("--to", "export_format", default="", help="Format of what -o writes, as of export [the dataset's own].")
@click.option("--afresh", is_flag=True, help="Run all stages, and build on nothing that was stored before.")
@export_options
@option_pairs
@json_option
def command(
    dataset: str,
    method: str,
    ratio: str,
    param: tuple[str, ...],
    recipe: str | None,
    hash_type: str | None,
    name: str | None,
    format_name: str | None,
    export_format: str,
    afresh: bool,
    output: Path | None,
    link: bool,
    overwrite: bool,
    in_place: bool,
    option: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prune a dataset by a recipe. Runs the stages that are missing or stale, and nothing else.

    \b
    espalier prune photos/ -m density -r 0.3
    espalier prune photos -m density -r 30% --param keep=easy --param temperature=0.2
    espalier prune photos --recipe random@n5000:seed=7
    espalier prune photos/ -m query_clust -r 0.5 --hash-type txt -o small --overwrite
    """  # noqa: D301
    from espalier.cli.launch import Launcher, echo_kept
    from espalier.cli.pruning import prune
    from espalier.core.recipe import Recipe
    from espalier.io.home import Home

    params = _hashed(_pairs(param), method, hash_type, recipe)
    if hash_type in ("txt", "both") and "hash" not in params:
        params = _of_texts(hash_type, params, method, dataset, name, format_name)
    parsed = Recipe.parse(recipe) if recipe else Recipe.build(method, ratio, params)
    wanted = _wanted(output, export_format, link, overwrite, in_place)
    with Launcher(Home.find()) as launcher:
        summary = prune(
            launcher,
            dataset,
            parsed,
            name=name,
            format_name=format_name,
            option=option,
            wanted=wanted,
            afresh=afresh,
        )
    if as_json:
        print_json(summary)
        return
    echo_kept(summary)
    if wanted:
        echo_export(summary)


def _pairs(param: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in param:
        key, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f"--param {text!r} is not NAME=VALUE.", "Write for example --param keep=easy.")
        if key in pairs:
            raise UsageError(f"--param {key} is given twice.", "Give it once.")
        pairs[key] = value
    return pairs


def _hashed(params: dict[str, str], method: str, hash_type: str | None, recipe: str | None) -> dict[str, str]:
    """Add ``--hash-type`` to the parameters, where it says anything."""
    if hash_type is None:
        return params
    if recipe:
        raise UsageError("--recipe is whole, so --hash-type has no place.", f"Write :hash={hash_type} into the recipe.")
    if "hash" in params:
        raise UsageError("--hash-type and --param hash are the same.", "Give one of them.")
    return {**params, "hash": hash_type} if method == "query_clust" else params


def _of_texts(
    hash_type: str, params: dict[str, str], method: str, target: str, name: str | None, format_name: str | None
) -> dict[str, str]:
    """Return the parameters that have a method cluster text hashes: in a dataset of texts these are all there is."""
    from espalier.cli.preflight import holds_texts
    from espalier.core.prune import method_class
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

    remedy = "Only query_clust clusters the texts of pictures."
    if hash_type != "txt" or "space" not in method_class(method).accepts:
        raise UsageError(f"--hash-type {hash_type} has no meaning for {method}.", remedy)
    if not holds_texts(LandingZone(Home.find().landing), target, name, format_name):
        raise UsageError(f"--hash-type txt has no meaning for {method} on pictures.", remedy)
    return {"space": "hash", **params}


def _wanted(output: Path | None, format_name: str, link: bool, overwrite: bool, in_place: bool) -> Wanted | None:
    """Return what is to be written out, or None; options of an export without one are refused."""
    if output is None and not in_place:
        if format_name or link or overwrite:
            raise UsageError("--to, --link and --overwrite are about what -o writes.", "Give a folder with -o.")
        return None
    return Wanted(output, format_name, link, overwrite, in_place)
