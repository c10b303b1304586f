"""The sensor of references: compares a dataset again when one that its card names in ``reference_datasets`` changed.

Which dataset is compared with which stands in cards, so the eager rules, which follow the graph, cannot know it.
"""

import hashlib

import dagster as dg

from assets.jobs import duplicates
from espalier.core.errors import EspalierError
from espalier.stages.staleness import Staleness
from resources import HomeResource
from sensors.decide import MOST_A_TICK

SECONDS = 30


@dg.sensor(
    name="reference_sensor",
    job=duplicates,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares a dataset again when a dataset that its card names in `reference_datasets` has changed.",
)
def reference_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Ask for the dedup_set of each dataset whose references are others than those that it was compared with."""
    opened, requests = home.open(), []
    registered = set(context.instance.get_dynamic_partitions("dataset"))
    for name in sorted(registered & set(opened.zone().names())):
        try:
            moved = Staleness(opened, name).moved_references("dedup_set")
        except (EspalierError, OSError) as error:
            context.log.warning(f"{name}: left alone, its state cannot be read: {error}")
            continue
        if moved:
            versions = hashlib.sha256(repr(sorted(moved.items())).encode()).hexdigest()[:16]
            requests.append(dg.RunRequest(run_key=f"{name}:{versions}", partition_key=name))
    if not requests:
        return dg.SkipReason("No dataset that another one is compared with has changed.")
    return dg.SensorResult(run_requests=requests[:MOST_A_TICK])
