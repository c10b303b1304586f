"""``espalier status``: what is there, and what is stale."""

from typing import TYPE_CHECKING, Any

import click

from cli.common import json_option, print_json, table

if TYPE_CHECKING:
    from resources.home import Home


@click.command("status")
@click.argument("dataset", required=False)
@json_option
def command(dataset: str | None, as_json: bool) -> None:
    """Show the datasets, what each holds, and which stages are stale and why.

    \b
    espalier status
    espalier status photos --json
    """  # noqa: D301
    from resources.home import Home
    from resources.landing.zone import LandingZone

    home = Home.find()
    zone = LandingZone(home.landing)
    names = [zone.card(dataset).name] if dataset else zone.names()
    found = [_one(home, name) for name in names]
    problems = {} if dataset else {name: str(error) for name, error in zone.problems().items()}
    if as_json:
        print_json({"home": str(home.root), "datasets": found, "problems": problems})
        return
    if not found and not problems:
        click.echo("Nothing has landed yet. Start with: espalier prune PATH/TO/IMAGES")
    for one in found:
        _show(one)
    for name, error in problems.items():
        click.secho(f"{name}: {error}", fg="yellow")


def _one(home: "Home", name: str) -> dict[str, Any]:
    from espalier.errors import EspalierError
    from resources.graph import CHAIN, MANIFEST
    from resources.staleness import Staleness

    store = home.store()
    out: dict[str, Any] = {"dataset": name, "stages": {}, "manifests": []}
    try:
        staleness = Staleness(home, name)
    except EspalierError as error:
        return {**out, "error": str(error)}
    stale = staleness.stages()
    for stage in CHAIN:
        table_ = store.get(stage, name)
        out["stages"][stage] = {"rows": table_.meta.n_rows if table_ else None, "stale": stale.get(stage)}
    for recipe in store.recipes(name):
        stats = store.need(MANIFEST, name, recipe).meta.stats
        reason = "the chain is stale" if stale else staleness.manifest(MANIFEST, recipe)
        out["manifests"].append(
            {"recipe": recipe, "n_kept": stats["n_kept"], "n_total": stats["n_total"], "stale": reason}
        )
    return out


def _show(one: dict[str, Any]) -> None:
    if "error" in one:
        click.secho(f"{one['dataset']}: {one['error']}", fg="yellow")
        return
    rows = [[s, "" if v["rows"] is None else v["rows"], v["stale"] or "fresh"] for s, v in one["stages"].items()]
    rows += [
        [f"{m['recipe']}", f"{m['n_kept']:,} of {m['n_total']:,}", m["stale"] or "fresh"] for m in one["manifests"]
    ]
    table(one["dataset"], ["stage or recipe", "rows", "state"], rows, right=(1,))
