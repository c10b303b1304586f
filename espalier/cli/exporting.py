"""What ``prune`` and ``export`` share about writing a subset out: its options, its checks, its run, its last words."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.io.home import Home


@dataclass(frozen=True)
class Wanted:
    """What the user asked of an export.

    Attributes
    ----------
    output : Path or None
        Where to; None with ``in_place``, which means the dataset's own folder.
    format_name : str
        '' for the dataset's own.
    link, overwrite, in_place : bool
    """

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


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of an export that ``prune`` has too."""
    for option in (
        click.option(
            "-o", "--output", type=click.Path(path_type=Path), help="Folder to write to; made whole or not at all."
        ),
        click.option("--link/--copy", default=False, help="Hard links to pictures that are files, not copies [copy]."),
        click.option(
            "--overwrite", is_flag=True, help="Replace a folder that is not empty, once the new one is whole."
        ),
        click.option("--in-place", is_flag=True, help="Replace the dataset's own folder; needs --overwrite."),
    ):
        command = option(command)
    return command


def echo_export(summary: dict[str, Any]) -> None:
    """Say what was written, and where."""
    from espalier.core.prune.counts import kept_words

    click.secho(f"{summary['recipe']}: wrote {kept_words(summary)}", bold=True)
    export = summary["export"]
    click.echo(f"{export['format']}: {export['n_files']:,} files, {export['n_bytes']:,} bytes: {export['folder']}")
    for note in export["notes"]:
        click.echo(f"note: {note}")


def check_export(home: "Home", dataset: str, wanted: Wanted) -> dict[str, Any]:
    """Refuse what cannot be written, before anything runs; return the stage's options.

    Raises
    ------
    UsageError
        For a target that is taken or inside the data, a format that cannot be written, or a source that
        cannot be replaced.
    """
    from espalier.io.formats.read.detect import open_reader
    from espalier.io.formats.write.choose import can_link, choose_writer
    from espalier.io.formats.write.refusals import check_source, check_target, own_folder
    from espalier.io.landing.zone import LandingZone

    card = LandingZone(home.landing).card(dataset)
    source = open_reader(card).format
    format_name, _ = choose_writer(source, wanted.format_name)
    if wanted.link and not can_link(source, format_name):
        raise UsageError(f"{format_name} holds no pictures that could be links.", "Use --copy.")
    if wanted.output and re.match(r"[a-z][a-z0-9+.-]+:/", str(wanted.output)):
        url = str(wanted.output).replace(":/", "://", 1)  # a path has lost one of them
        raise UsageError(f"{url} is a URL, and exports are folders on a disk.", "Export, then copy it there.")
    target = own_folder(card, format_name) if wanted.in_place else (wanted.output or Path()).expanduser().absolute()
    if not wanted.in_place:
        check_source(card, target)
    check_target(target, overwrite=wanted.overwrite)
    return {
        "export_to": str(target),
        "export_format": wanted.format_name,
        "export_mode": "link" if wanted.link else "copy",
        "export_overwrite": wanted.overwrite,
    }


def run_export(
    launcher: "Launcher", dataset: str, recipe: str, options: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """Write a fresh manifest's subset; return the run's id and what was written."""
    from espalier.stages.graph import EXPORT

    run = launcher.run("exports", dataset, [EXPORT], recipe=recipe, config={EXPORT: {"config": options}})
    return run, launcher.home.store().need(EXPORT, dataset, recipe).meta.stats
