"""The nightly refresh, off by default: runs again what its files, its options or its code have outdated."""

import dagster as dg

from assets.jobs import chain
from espalier.core.errors import EspalierError
from espalier.stages.staleness import Staleness
from resources import HomeResource
from sensors.decide import refresh_plan


@dg.schedule(
    name="refresh",
    job=chain,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night: datasets whose landing changed, or whose options or code version are old.",
)
def refresh(context: dg.ScheduleEvaluationContext, home: HomeResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for the stale stages of every landed dataset that was materialized once."""
    opened = home.open()
    registered = set(context.instance.get_dynamic_partitions("dataset"))
    stale = {}
    for name in sorted(registered & set(opened.zone().names())):
        try:
            stale[name] = Staleness(opened, name).stages()
        except (EspalierError, OSError) as error:
            context.log.warning(f"{name}: left alone, its state cannot be read: {error}")
    plan = refresh_plan(stale)
    if not plan:
        return dg.SkipReason(f"All of {len(registered)} datasets are up to date.")
    day = context.scheduled_execution_time.strftime("%Y-%m-%d")
    return [
        dg.RunRequest(
            run_key=f"{name}:{day}", partition_key=name, asset_selection=[dg.AssetKey(stage) for stage in stages]
        )
        for name, stages in plan.items()
    ]
