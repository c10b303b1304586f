"""Progress bars in the terminal, in the place of the log lines."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from resources.configured import ProgressResource
from resources.progress import Advance


class BarProgress(ProgressResource):
    """A bar a stage, on stderr; plain lines where that is no terminal."""

    def bar(self, log: logging.Logger, label: str, total: int) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Show a bar for a stage of ``total`` items."""
        return shown_bar(label, total)


@contextmanager
def shown_bar(label: str, total: int) -> Iterator[Advance]:
    """Give ``advance(n)``, which moves a bar of ``total`` items."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
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
