"""Progress bars in the terminal, in the place of the log lines."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import UnsupportedOperation
from typing import TextIO

import dagster as dg
from pydantic import PrivateAttr

from espalier.io.progress import Advance
from resources import ProgressResource


class BarProgress(ProgressResource):
    """A bar a stage, on stderr; plain lines where that is no terminal.

    During a run Dagster turns the process's stderr into the run's log; the bars keep the one from before.
    """

    _stderr: TextIO | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Keep what stderr is now."""
        try:
            self._stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding)
        except UnsupportedOperation:  # no file, so Dagster leaves it alone
            self._stderr = None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Give it back."""
        if self._stderr is not None:
            self._stderr.close()

    def bar(self, log: logging.Logger, label: str, total: int) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Show a bar for a stage of ``total`` items."""
        return shown_bar(label, total, self._stderr)


@contextmanager
def shown_bar(label: str, total: int, stream: TextIO | None = None) -> Iterator[Advance]:
    """Give ``advance(n)``, which moves a bar of ``total`` items, on ``stream`` or stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(file=stream, stderr=True)
    if not console.is_terminal:
        console.print(f"{label} ...", highlight=False)
        yield lambda _: None
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total, rate="")

        def advance(n: int) -> None:
            progress.advance(task, n)
            speed = progress.tasks[0].speed
            progress.update(task, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance
        progress.update(task, completed=progress.tasks[0].total)
