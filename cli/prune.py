"""``espalier prune``: from a folder or a dataset's name to a manifest."""

from pathlib import Path
from typing import Any

import click

from cli.common import json_option, option_pairs, print_json
from espalier.errors import UsageError


@click.command("prune")
@click.argument("dataset", metavar="DATASET|PATH")
@click.option("-m", "--method", default="random", show_default=True, help="See: espalier methods.")
@click.option("-r", "--ratio", default="0.5", show_default=True, help="Share to keep (0.3, 30%) or a count (n5000).")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="A parameter of the method; repeatable.")
@click.option("--recipe", help="The whole recipe in one text, instead of -m, -r and --param.")
@click.option("--name", help="Name of the dataset when a PATH is given [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data when a PATH is given [found out].")
@option_pairs
@json_option
def command(
    dataset: str,
    method: str,
    ratio: str,
    param: tuple[str, ...],
    recipe: str | None,
    name: str | None,
    format_name: str | None,
    option: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prune a dataset by a recipe. Runs the stages that are missing or stale, and nothing else.

    \b
    espalier prune photos/ -m density -r 0.3
    espalier prune photos -m density -r 30% --param keep=easy --param temperature=0.2
    espalier prune photos --recipe random@n5000:seed=7
    """  # noqa: D301
    from cli.launch import Launcher, echo_kept
    from espalier.recipe import Recipe
    from resources.home import Home

    parsed = Recipe.parse(recipe) if recipe else Recipe.build(method, ratio, _pairs(param))
    with Launcher(Home.find()) as launcher:
        summary = prune(launcher, dataset, parsed, name=name, format_name=format_name, option=option)
    if as_json:
        print_json(summary)
    else:
        echo_kept(summary)


def prune(
    launcher: Any,
    target: str,
    recipe: Any,
    *,
    name: str | None = None,
    format_name: str | None = None,
    option: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Land ``target`` if it is a path, run what is missing or stale, and return the manifest's summary."""
    from cli.door import check_encoder
    from resources.graph import MANIFEST
    from resources.manifests import manifest_folder
    from resources.staleness import Staleness

    home = launcher.home
    dataset = dataset_of(home, target, name, format_name, option)
    ran: dict[str, list[str]] = {}
    staleness = Staleness(home, dataset)
    stale = staleness.stages()
    if "embeddings" in stale:
        check_encoder(staleness.options, home.models)
    if stale:
        ran[launcher.run("chain", dataset, list(stale))] = list(stale)
    if Staleness(home, dataset).manifest(MANIFEST, str(recipe)):
        ran[launcher.run("manifests", dataset, [MANIFEST], recipe=str(recipe))] = [MANIFEST]
    meta = home.store().need(MANIFEST, dataset, str(recipe)).meta
    return {
        **meta.stats,
        "manifest": str(manifest_folder(home.manifests, dataset, str(recipe))),
        "ran": [stage for stages in ran.values() for stage in stages],
        "runs": list(ran),
    }


def dataset_of(home: Any, target: str, name: str | None, format_name: str | None, option: tuple[str, ...]) -> str:
    """Return the dataset's name; a path (or URL) is landed first."""
    from cli.door import land, stage_options
    from resources.landing import LandingZone

    zone = LandingZone(home.landing)
    chain = stage_options(option)
    landed = target in zone.names()
    if not landed and ("/" in target or "\\" in target or Path(target).exists()):
        return land(zone, target, name, format_name, chain).name
    card = zone.card(target)
    if name and name != target:
        raise UsageError(f"{target!r} is a landed dataset, so --name {name} has no meaning.", "Leave --name out.")
    if chain or format_name:
        zone.land(card.uri, target, format_name, chain=chain)
    return target


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
