"""The code location that Dagster loads: assets, jobs, sensors, resources. Nothing is opened or read at import."""

from typing import Any

import dagster as dg

from assets.cluster_complexity import cluster_complexity
from assets.clusters import clusters
from assets.comparison import comparison
from assets.dedup_set import dedup_set
from assets.embeddings import embeddings
from assets.jobs import all_jobs
from assets.pruned_dataset import pruned_dataset
from assets.pruned_manifest import pruned_manifest
from assets.raw_dataset import raw_dataset
from assets.semantic_dedup_set import semantic_dedup_set
from assets.subset_quality import subset_quality
from resources.configured import ComputeResource, HomeResource, ProgressResource, ReadingResource, WarehouseIOManager
from sensors.automation import automation_sensor
from sensors.landing import landing_sensor
from sensors.refresh import refresh

ALL_ASSETS = [
    raw_dataset,
    dedup_set,
    embeddings,
    semantic_dedup_set,
    clusters,
    cluster_complexity,
    pruned_manifest,
    subset_quality,
    comparison,
    pruned_dataset,
]


def build_defs(**resources: Any) -> dg.Definitions:
    """Return the definitions; ``resources`` take the place of those of the same name (tests, the command line)."""
    home = resources.pop("home", HomeResource())
    return dg.Definitions(
        assets=ALL_ASSETS,
        jobs=all_jobs,
        sensors=[landing_sensor, automation_sensor],
        schedules=[refresh],
        resources={
            "home": home,
            "warehouse": WarehouseIOManager(home=home),
            "progress": ProgressResource(),
            "compute": ComputeResource(),
            "reading": ReadingResource(),
            **resources,
        },
        executor=dg.in_process_executor,
    )


defs = build_defs()
