"""From a path or a dataset's name to a manifest, for every command that needs one; what is fresh is not run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from espalier.cli.export_request import ExportRequest
from espalier.cli.launch import Launcher
from espalier.cli.preflight import check_export, check_format_of, check_scores, fit_of, stage_options
from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune.counts import kept_counts
from espalier.core.recipe import Recipe
from espalier.io.files.listing import walk
from espalier.io.home import Home
from espalier.io.results import manifest_folder
from espalier.stages.graph import EXPORT, MANIFEST
from espalier.stages.staleness import Staleness


def prune(
    launcher: Launcher,
    target: str,
    recipe: Recipe,
    *,
    name: str | None = None,
    format_name: str | None = None,
    option: tuple[str, ...] = (),
    wanted: ExportRequest | None = None,
    afresh: bool = False,
) -> dict[str, Any]:
    """Land ``target`` if it is a path, run what is missing or stale, and return the manifest's summary.

    With ``wanted`` naming a place the subset is written out, too, and the summary has ``export``. With ``afresh`` the
    whole chain is run and builds on nothing that was stored before.
    """
    home = launcher.home
    dataset = dataset_of(home, target, name, format_name, option)
    export = check_export(home, dataset, wanted) if wanted and (wanted.output or wanted.in_place) else None
    check_scores(recipe.scope.min_clip_score, Staleness(home, dataset).options, home.models)
    ran = launcher.refresh(dataset, afresh=afresh)
    if Staleness(home, dataset).manifest(MANIFEST, str(recipe)):
        ran[launcher.run("manifests", dataset, [MANIFEST], recipe=str(recipe))] = [MANIFEST]
    summary: dict[str, Any] = dict(home.store().need(MANIFEST, dataset, str(recipe)).meta.stats)
    summary |= kept_counts(summary)
    if brought := home.store().need("embeddings", dataset).meta.stats.get("brought"):
        summary["brought"] = brought
    if export:
        run = launcher.run("exports", dataset, [EXPORT], recipe=str(recipe), config={EXPORT: {"config": export}})
        ran[run] = [EXPORT]
        summary["export"] = home.store().need(EXPORT, dataset, str(recipe)).meta.stats
    return summary | {
        "manifest": str(manifest_folder(home.manifests, dataset, str(recipe))),
        "ran": [stage for stages in ran.values() for stage in stages],
        "runs": list(ran),
    }


def dataset_of(
    home: Home,
    target: str,
    name: str | None = None,
    format_name: str | None = None,
    option: tuple[str, ...] = (),
    tell: Callable[[dict[str, Any]], object] = lambda _: None,
) -> str:
    """Return the dataset's name; a path (or URL) is landed first. ``tell`` takes how embeddings given here fit.

    Refused are an empty folder, and vectors that do not fit the samples.
    """
    zone, options = home.zone(), stage_options(option, home.models)
    path = target
    if target in zone.names() or not ("/" in target or "\\" in target or Path(target).exists()):
        card = zone.card(target)
        check_format_of(card)
        if name and name != target:
            raise UsageError(f"{target!r} is a landed dataset, so --name {name} has no meaning.", "Leave --name out.")
        if not options and not format_name:
            return target
        path, name = card.uri, target
    local = Path(path).expanduser()
    if local.is_dir() and next(walk(str(local.absolute())), None) is None:
        raise EspalierError(f"{local} holds no file.", "Point to the folder that holds the pictures.")
    if options.get("embeddings"):
        tell(fit_of(zone.land(path, name, format_name, options=options, dry_run=True)))
    return zone.land(path, name, format_name, options=options).name
