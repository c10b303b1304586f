"""``espalier status``: what is there, and what is stale."""

from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import json_option, print_json, table

if TYPE_CHECKING:
    from espalier.io.home import Home


@click.command("status")
@click.argument("dataset", required=False)
@json_option
def command(dataset: str | None, as_json: bool) -> None:
    """Show the datasets, what each holds, and which stages are stale and why.

    \b
    espalier status
    espalier status photos --json
    """  # noqa: D301
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone

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
    from espalier.core.errors import EspalierError
    from espalier.core.prune.counts import kept_counts
    from espalier.stages.graph import CHAIN, MANIFEST
    from espalier.stages.staleness import Staleness

    store = home.store()
    out: dict[str, Any] = {"dataset": name, "stages": {}, "manifests": []}
    try:
        staleness = Staleness(home, name)
    except EspalierError as error:
        return {**out, "error": str(error)}
    stale, grown = staleness.stages(), staleness.grown()
    for stage in CHAIN:
        table_ = store.get(stage, name)
        rows = table_.meta.n_rows if table_ else None
        out["stages"][stage] = {"rows": rows, "stale": stale.get(stage), "grown_from": grown.get(stage)}
    for recipe in store.recipes(name):
        stats = store.need(MANIFEST, name, recipe).meta.stats
        reason = "the chain is stale" if stale else staleness.manifest(MANIFEST, recipe)
        out["manifests"].append({**kept_counts(stats), "stale": reason})
    return out


def _show(one: dict[str, Any]) -> None:
    from espalier.core.prune.counts import kept_words

    if "error" in one:
        click.secho(f"{one['dataset']}: {one['error']}", fg="yellow")
        return
    rows = [[s, "" if v["rows"] is None else v["rows"], _state(v)] for s, v in one["stages"].items()]
    rows += [[m["recipe"], kept_words(m), m["stale"] or "fresh"] for m in one["manifests"]]
    table(one["dataset"], ["stage or recipe", "rows", "state"], rows, right=(1,))
    if any(v["grown_from"] for v in one["stages"].values()):
        click.echo(
            "grown: only what was new was compared, so the order in which samples came counts; --afresh compares all."
        )


def _state(stage: dict[str, Any]) -> str:
    """Say whether a stage is fresh, and whether its rows depend on what it replaced."""
    return f"{stage['stale'] or 'fresh'}{', grown' if stage['grown_from'] else ''}"
