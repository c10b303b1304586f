"""The code location that Dagster loads: assets, jobs, sensors, resources. Nothing is opened or read at import."""

import importlib
import os

import dagster as dg

import assets
from assets.jobs import all_jobs
from espalier.core.errors import UsageError
from resources import ComputeResource, HomeResource, ProgressResource, WarehouseIOManager
from sensors.automation import automation_sensor
from sensors.landing import landing_sensor
from sensors.references import reference_sensor
from sensors.refresh import refresh

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def deployed_executor() -> dg.ExecutorDefinition:
    """Return the executor that ``$ESPALIER_EXECUTOR`` names: in_process (default), multiprocess, or MODULE:NAME."""
    name = os.environ.get("ESPALIER_EXECUTOR") or "in_process"
    module, _, attribute = name.partition(":")
    executor = getattr(importlib.import_module(module), attribute, None) if attribute else EXECUTORS.get(name)
    if not isinstance(executor, dg.ExecutorDefinition):
        raise UsageError(
            f"ESPALIER_EXECUTOR={name!r} is no executor.",
            f"Write {', '.join(EXECUTORS)}, or MODULE:NAME of one from a package (dagster_k8s:k8s_job_executor).",
        )
    return executor


def build_defs(
    *,
    home: HomeResource | None = None,
    warehouse: WarehouseIOManager | None = None,
    progress: ProgressResource | None = None,
    compute: ComputeResource | None = None,
) -> dg.Definitions:
    """Return the definitions; a resource given takes the place of the default one (tests, the command line)."""
    home = home or HomeResource()
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets, include_specs=True),
        jobs=all_jobs,
        sensors=[landing_sensor, reference_sensor, automation_sensor],
        schedules=[refresh],
        resources={
            "home": home,
            "warehouse": warehouse or WarehouseIOManager(home=home),
            "progress": progress or ProgressResource(),
            "compute": compute or ComputeResource(),
        },
        executor=deployed_executor(),
    )


defs = build_defs()
