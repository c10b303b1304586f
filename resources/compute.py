"""What a stage may use of this machine, how files are read on it, and how it tells how far it is."""

import logging
import os
from contextlib import AbstractContextManager

import dagster as dg
from pydantic import Field

from espalier.io.progress import Advance, log_progress
from espalier.io.scanning.request import Reading, ScanRequest, read_here
from espalier.io.scanning.subprocess_reader import read_in_subprocess


class ComputeResource(dg.ConfigurableResource):
    """What a stage may use of this machine."""

    threads: int = Field(default=0, ge=0, description="Threads of a stage; 0 means one a core.")
    read_in_subprocess: bool = Field(
        default=True,
        description="Read files in a process of its own: one that crashes its decoder takes no run with it.",
    )

    def n_threads(self) -> int:
        """Return the number of threads."""
        return self.threads or os.cpu_count() or 1

    def read(self, request: ScanRequest) -> Reading:
        """Return the rows of a dataset, to be gone through once."""
        return Reading(read_in_subprocess(request) if self.read_in_subprocess else read_here(request))


class ProgressResource(dg.ConfigurableResource):
    """How a stage tells how far it is: lines in the run's log."""

    def bar(self, log: logging.Logger, label: str, total: int) -> AbstractContextManager[Advance]:
        """Give ``advance(n)`` for a stage of ``total`` items."""
        return log_progress(log, label, total)
