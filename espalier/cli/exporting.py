"""What ``prune`` and ``export`` share about writing a subset out: its options and its last words."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from espalier.cli.common import with_options
from espalier.core.errors import UsageError


@dataclass(frozen=True)
class Wanted:
    """What the user asked of an export; no output with ``in_place``, which means the dataset's own folder."""

    output: Path | None
    format_name: str = ""
    link: bool = False
    overwrite: bool = False
    in_place: bool = False

    def __post_init__(self) -> None:
        if self.in_place and self.output is not None:
            raise UsageError("--in-place and -o are two places.", "Give one of them.")
        if self.in_place and not self.overwrite:
            raise UsageError("--in-place replaces the dataset itself.", "Add --overwrite if that is what you want.")
        if self.in_place and (self.format_name or self.link):
            raise UsageError("--in-place keeps the format and copies.", "Leave --format and --link out.")


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
        return function(*args, wanted=Wanted(output, export_format, link, overwrite, in_place), **given)

    return command


def echo_export(summary: dict[str, Any]) -> None:
    """Say what was written, and where."""
    from espalier.core.prune.counts import kept_words

    click.secho(f"{summary['recipe']}: wrote {kept_words(summary)}", bold=True)
    export = summary["export"]
    click.echo(f"{export['format']}: {export['n_files']:,} files, {export['n_bytes']:,} bytes: {export['folder']}")
    for note in export["notes"]:
        click.echo(f"note: {note}")
