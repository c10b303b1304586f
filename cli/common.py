"""What the subcommands share: options and output."""

import json
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
option_pairs = click.option(
    "--option", multiple=True, metavar="NAME=VALUE", help="An option of the stages, such as k=50; kept in the card."
)


def print_json(value: Any) -> None:
    """Print a value as JSON; text stays as it is."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def table(title: str, columns: list[str], rows: list[list[Any]], right: tuple[int, ...] = ()) -> None:
    """Print a table; columns in ``right`` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        shown.add_column(column, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*[f"{v:,}" if isinstance(v, int) and not isinstance(v, bool) else str(v) for v in row])
    console = Console()
    console.print(shown, width=None if console.is_terminal else 10_000, crop=False)
