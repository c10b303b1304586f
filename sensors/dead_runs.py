"""Runs whose process was killed.

Dagster's own launcher never notices: such a run would hold its place in the queue, and the eager rules would wait
for its assets, for ever.
"""

import dagster as dg

from espalier.io.home import Home
from espalier.io.leases import LeaseWatch, leases


def end_dead_runs(instance: dg.DagsterInstance, home: Home, watch: LeaseWatch) -> list[str]:
    """Report runs as failed whose process is gone; return their ids. Leases of runs that ended are removed."""
    ended = []
    for lease in leases(home):
        over = watch.is_over(lease)  # before the run is looked at: a process that is gone changes it no more
        run = instance.get_run_by_id(lease.name)
        if run is not None and not run.is_finished and over:
            instance.report_run_failed(run, "Its process is gone: it was killed, or its machine was.")
            ended.append(run.run_id)
        if over or (run is not None and run.is_finished):
            lease.unlink(missing_ok=True)
    return ended
