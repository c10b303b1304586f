"""The sensor of the eager rules: what lies below a changed asset follows by itself."""

import dagster as dg

automation_sensor = dg.AutomationConditionSensorDefinition(
    "automation_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
    description="Materializes what lies below an asset that changed, and a new recipe for every dataset.",
)
