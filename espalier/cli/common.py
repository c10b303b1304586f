"""What the subcommands share: options and output."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


def _note_encoder(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    ctx.meta["encoder"] = value


def _with_encoder(ctx: click.Context, _: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    encoder = ctx.meta.get("encoder")
    return value if encoder is None else (*value, f"encoder={json.dumps(encoder)}")


def option_pairs(command: _Command) -> _Command:
    """Give a command ``--encoder`` and ``--option``, both as the pairs of its parameter ``option``."""
    pairs = click.option(
        "--option",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_with_encoder,
        help="An option of the stages, such as k=50; kept in the card.",
    )
    # Eager, so that it is known when the pairs are put together.
    encoder = click.option(
        "--encoder",
        metavar="SPEC",
        is_eager=True,
        expose_value=False,
        callback=_note_encoder,
        help="What makes the vectors: a name, a model's path, hf:REPO, https://... (docs/encoders.md).",
    )
    return encoder(pairs(command))


def print_json(value: object) -> None:
    """Print a value as JSON; text stays as it is."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def echo_recall(found: dict[str, Any]) -> None:
    """Say what share of the near duplicates an index found; nothing where all pairs were compared."""
    if found.get("pair_search") == "index":
        recall, checked = found["pair_recall"], found["pairs_checked"]
        measured = "not known, a sample has none" if recall is None else f"{recall:.3f}, of {checked:,} in a sample"
        click.echo(f"Pairs of near duplicates were sought by an index: recall {measured}.")


def table(title: str, columns: list[str], rows: Sequence[Sequence[object]], right: tuple[int, ...] = ()) -> None:
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
