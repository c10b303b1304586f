"""The home as a resource: the one folder in which everything is kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from espalier.io.home import Home
from espalier.io.leases import leased


class HomeResource(dg.ConfigurableResource):
    """Where everything is kept."""

    path: str = Field(default="", description="The folder; empty means $ESPALIER_HOME, else ./.espalier.")

    def open(self) -> Home:
        """Return the home with its folders made."""
        return Home.find(self.path).ensure()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["HomeResource"]:
        """Hold the run's lease as long as it goes on, in the run's own process."""
        if context.run and context.instance and _started_in(context.instance, context.run.run_id) == os.getpid():
            with leased(self.open(), context.run.run_id):
                yield self
        else:  # a sensor, or a step in a process of its own: that one may end before the run does
            yield self


def _started_in(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the id of the process that a run started in."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START):
        if entry.dagster_event is not None:
            return entry.dagster_event.pid
    return None
