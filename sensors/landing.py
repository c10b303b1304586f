"""The landing sensor: notices datasets that landed or changed, and materializes their raw_dataset.

It starts nothing else. What lies below raw_dataset follows by the eager rules, or it would run twice.
"""

from dataclasses import replace

import dagster as dg

from assets.jobs import land
from assets.landed import observed
from assets.partitions import datasets, recipes
from espalier.core.errors import EspalierError
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone, Listing
from espalier.io.leases import LeaseWatch
from espalier.stages.graph import DEFAULT_RECIPES
from resources import HomeResource
from sensors.dead_runs import end_dead_runs
from sensors.decide import Memory, decide

SECONDS = 15
WATCH = LeaseWatch()


@dg.sensor(
    name="landing_sensor",
    job=land,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes a dataset when its files have settled: unchanged for one tick, or marked by _SUCCESS.",
)
def landing_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Look at the landing zone once."""
    try:
        opened = home.open()
        for run_id in end_dead_runs(context.instance, opened, WATCH):
            context.log.warning(f"run {run_id} is over: its process is gone")
        zone = opened.zone()
        names = zone.names()
    except (EspalierError, OSError) as error:
        return dg.SkipReason(f"The landing zone cannot be read: {error}")
    for file, problem in zone.problems().items():
        context.log.warning(f"{file}: {problem}")
    listings = {name: _listing(context, zone, name) for name in names}
    decision = decide(
        listings,
        Memory.loads(context.cursor),
        {name: _stored(context, opened, name) for name in names},
    )
    added = [datasets.build_add_request([name for name, _ in decision.ready])] if decision.ready else []
    memory = decision.memory
    if not memory.recipes_registered:
        added.append(recipes.build_add_request(list(DEFAULT_RECIPES)))
        memory = replace(memory, recipes_registered=True)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=name) for name, key in decision.ready],
        dynamic_partitions_requests=added,
        asset_events=[observed(name, listing) for name, _ in decision.ready if (listing := listings[name])],
        cursor=memory.dumps(),
        skip_reason=None if decision.ready else _words(names, decision.waiting),
    )


def _listing(context: dg.SensorEvaluationContext, zone: LandingZone, name: str) -> Listing | None:
    try:
        return zone.fingerprint(name)
    except (EspalierError, OSError) as error:
        context.log.warning(f"{name}: its files cannot be listed now: {error}")
        return None


def _stored(context: dg.SensorEvaluationContext, home: Home, name: str) -> str | None:
    """Return the fingerprint that the stored raw_dataset was made from; None when there is none that can be read."""
    try:
        table = home.store().get("raw_dataset", name)
        return table.meta.inputs["listing"] if table else None
    except EspalierError as error:
        context.log.warning(f"{name}: {error}")
        return None


def _words(names: list[str], waiting: tuple[str, ...]) -> str:
    if waiting:
        return f"Waiting for files to settle: {', '.join(waiting)}."
    return f"Nothing new among {len(names)} datasets." if names else "Nothing has landed yet."
