"""From a path or a dataset's name to a manifest, for every command that needs one; what is fresh is not run again."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.cli.exporting import Wanted, check_export, run_export
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.core.recipe import Recipe
    from espalier.io.home import Home


def prune(
    launcher: "Launcher",
    target: str,
    recipe: "Recipe",
    *,
    name: str | None = None,
    format_name: str | None = None,
    option: tuple[str, ...] = (),
    wanted: Wanted | None = None,
    afresh: bool = False,
) -> dict[str, Any]:
    """Land ``target`` if it is a path, run what is missing or stale, and return the manifest's summary.

    With ``wanted`` the subset is written out, too, and the summary has ``export``. With ``afresh`` the whole chain is
    run and builds on nothing that was stored before.
    """
    from espalier.cli.preflight import check_encoder, check_scores
    from espalier.core.prune.counts import kept_counts
    from espalier.io.results.manifests import manifest_folder
    from espalier.stages.graph import CHAIN, EXPORT, MANIFEST
    from espalier.stages.staleness import Staleness

    home = launcher.home
    dataset = dataset_of(home, target, name, format_name, option)
    export = check_export(home, dataset, wanted) if wanted else None
    ran: dict[str, list[str]] = {}
    staleness = Staleness(home, dataset)
    check_scores(recipe.scope.min_clip_score, staleness.options, home.models)
    stale = CHAIN if afresh else tuple(staleness.stages())
    if "embeddings" in stale:
        check_encoder(staleness.options, home.models)
    if stale:
        ran[launcher.chain(dataset, stale, afresh=afresh)] = list(stale)
    if Staleness(home, dataset).manifest(MANIFEST, str(recipe)):
        ran[launcher.run("manifests", dataset, [MANIFEST], recipe=str(recipe))] = [MANIFEST]
    meta = home.store().need(MANIFEST, dataset, str(recipe)).meta
    written = {}
    if export:
        run, written["export"] = run_export(launcher, dataset, str(recipe), export)
        ran[run] = [EXPORT]
    brought = home.store().need("embeddings", dataset).meta.stats.get("brought")
    return {
        **meta.stats,
        **kept_counts(meta.stats),
        **({"brought": brought} if brought else {}),
        **written,
        "manifest": str(manifest_folder(home.manifests, dataset, str(recipe))),
        "ran": [stage for stages in ran.values() for stage in stages],
        "runs": list(ran),
    }


def dataset_of(
    home: "Home",
    target: str,
    name: str | None,
    format_name: str | None,
    option: tuple[str, ...],
    tell: Callable[[dict[str, Any]], object] = lambda _: None,
) -> str:
    """Return the dataset's name; a path (or URL) is landed first. ``tell`` takes how embeddings given here fit."""
    from espalier.cli.preflight import check_format_of, land, stage_options
    from espalier.io.landing.zone import LandingZone

    zone = LandingZone(home.landing)
    options = stage_options(option)
    landed = target in zone.names()
    if not landed and ("/" in target or "\\" in target or Path(target).exists()):
        return land(zone, target, name, format_name, options, tell).name
    card = zone.card(target)
    check_format_of(card)
    if name and name != target:
        raise UsageError(f"{target!r} is a landed dataset, so --name {name} has no meaning.", "Leave --name out.")
    if options or format_name:
        land(zone, card.uri, target, format_name, options, tell)
    return target
