"""``espalier status``: what is there, and what is stale."""

from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import open_home, reporting, table

if TYPE_CHECKING:
    from espalier.io.home import Home


def _show(status: dict[str, Any]) -> None:
    from espalier.core.prune.counts import kept_words

    if not status["datasets"] and not status["problems"]:
        click.echo("Nothing has landed yet. Start with: espalier prune PATH/TO/IMAGES")
    for one in status["datasets"]:
        if "error" in one:
            click.secho(f"{one['dataset']}: {one['error']}", fg="yellow")
            continue
        grown = {stage for stage, now in one["stages"].items() if now["grown_from"]}
        rows = [
            [
                stage,
                "" if now["rows"] is None else now["rows"],
                (now["stale"] or "fresh") + ", grown" * (stage in grown),
            ]
            for stage, now in one["stages"].items()
        ]
        rows += [[m["recipe"], kept_words(m), m["stale"] or "fresh"] for m in one["manifests"]]
        table(one["dataset"], ["stage or recipe", "rows", "state"], rows, right=(1,))
        if grown:
            click.echo(
                "grown: only what was new was compared, so the order in which samples came counts; "
                "--afresh compares all."
            )
    for name, error in status["problems"].items():
        click.secho(f"{name}: {error}", fg="yellow")


@click.command("status")
@click.argument("dataset", required=False)
@reporting(_show)
def command(dataset: str | None) -> dict[str, Any]:
    """Show the datasets, what each holds, and which stages are stale and why.

    \b
    espalier status
    espalier status photos --json
    """  # noqa: D301
    home = open_home()
    zone = home.zone()
    names = [zone.card(dataset).name] if dataset else zone.names()
    return {
        "home": str(home.root),
        "datasets": [_one(home, name) for name in names],
        "problems": {} if dataset else {name: str(error) for name, error in zone.problems().items()},
    }


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
        stored = store.get(stage, name)
        rows = stored.meta.n_rows if stored else None
        out["stages"][stage] = {"rows": rows, "stale": stale.get(stage), "grown_from": grown.get(stage)}
    for recipe in store.recipes(name):
        stats = store.need(MANIFEST, name, recipe).meta.stats
        reason = "the chain is stale" if stale else staleness.manifest(MANIFEST, recipe)
        out["manifests"].append({**kept_counts(stats), "stale": reason})
    return out
