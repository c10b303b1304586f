"""What the subcommands share: options, the home and its launcher, output. Nothing here imports Dagster or a library."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from espalier.cli.export_request import ExportRequest

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.io.home import Home

_Command = TypeVar("_Command", bound=Callable[..., Any])


def open_home() -> "Home":
    """Return the home that the options or the environment name."""
    from espalier.io.home import Home

    return Home.find()


def launcher() -> "Launcher":
    """Return what runs the graph on that home; a context manager."""
    from espalier.cli.launch import Launcher

    return Launcher(open_home())


def with_options(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Put several options together into one decorator; their order is that of ``--help``."""
    return lambda command: functools.reduce(lambda done, option: option(done), reversed(options), command)


path_options = with_options(
    click.option("--name", help="Name of the dataset when a PATH is given [from the path's last part]."),
    click.option("--format", "format_name", help="Format of the data when a PATH is given [found out]."),
)


def option_pairs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--encoder`` and ``--option``, both as the pairs of its parameter ``option``."""

    @click.option(
        "--encoder",
        metavar="SPEC",
        help="What makes the vectors: a name, a model's path, hf:REPO, https://... (docs/encoders.md).",
    )
    @click.option(
        "--option",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the stages, such as k=50; kept in the card.",
    )
    @functools.wraps(function)
    def command(*args: Any, encoder: str | None, option: tuple[str, ...], **given: Any) -> Any:
        named = () if encoder is None else (f"encoder={json.dumps(encoder)}",)
        return function(*args, option=(*option, *named), **given)

    return command


def reporting(show: Callable[[Any], object]) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give a command ``--json``; what it returns is printed as JSON, or else by ``show``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
        @functools.wraps(function)
        def command(*args: Any, as_json: bool, **given: Any) -> None:
            report = function(*args, **given)
            click.echo(to_json(report)) if as_json else show(report)

        return command

    return decorate


def to_json(value: object) -> str:
    """Return a value as JSON; text stays as it is."""
    return json.dumps(value, ensure_ascii=False, default=str)


def echo_recall(summary: dict[str, Any]) -> None:
    """Say what share of the near duplicates an index found; nothing where all pairs were compared."""
    if summary.get("pair_search") == "index":
        recall, checked = summary["pair_recall"], summary["pairs_checked"]
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


def export_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that has ``export_format`` the other options of an export, all of them as ``wanted``."""

    @with_options(
        click.option("--in-place", is_flag=True, help="Replace the dataset's own folder; needs --overwrite."),
        click.option(
            "--overwrite", is_flag=True, help="Replace a folder that is not empty, once the new one is whole."
        ),
        click.option("--link/--copy", default=False, help="Hard links to pictures that are files, not copies [copy]."),
        click.option(
            "-o", "--output", type=click.Path(path_type=Path), help="Folder to write to; made whole or not at all."
        ),
    )
    @functools.wraps(function)
    def command(
        *args: Any, output: Path | None, export_format: str, link: bool, overwrite: bool, in_place: bool, **given: Any
    ) -> Any:
        return function(*args, wanted=ExportRequest(output, export_format, link, overwrite, in_place), **given)

    return command


def echo_export(summary: dict[str, Any]) -> None:
    """Say what was written, and where."""
    from espalier.core.prune.counts import kept_words

    click.secho(f"{summary['recipe']}: wrote {kept_words(summary)}", bold=True)
    export = summary["export"]
    click.echo(f"{export['format']}: {export['n_files']:,} files, {export['n_bytes']:,} bytes: {export['folder']}")
    for note in export["notes"]:
        click.echo(f"note: {note}")
