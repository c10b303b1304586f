"""Progress as a resource: lines in the run's log; the command line puts bars in their place."""

import logging
from contextlib import AbstractContextManager

import dagster as dg

from espalier.io.progress import Advance, log_progress


class ProgressResource(dg.ConfigurableResource):
    """How a stage tells how far it is: lines in the run's log."""

    def bar(self, log: logging.Logger, label: str, total: int) -> AbstractContextManager[Advance]:
        """Give ``advance(n)`` for a stage of ``total`` items."""
        return log_progress(log, label, total)
