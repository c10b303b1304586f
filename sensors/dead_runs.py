"""Runs whose process was killed.

Dagster's own launcher never notices: such a run would hold its place in the queue, and the eager rules would wait
for its assets, for ever.
"""

import dagster as dg

from resources.leftovers import is_running


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed that have started on this machine and whose process is gone; return their ids."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])):
        pid = _process_of(instance, run.run_id)
        if pid is not None and not is_running(pid):
            instance.report_run_failed(run, f"Its process {pid} is gone: it was killed, or the machine was.")
            ended.append(run.run_id)
    return ended


def _process_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the process that a run started in."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START):
        if entry.dagster_event is not None:
            return entry.dagster_event.pid
    return None
