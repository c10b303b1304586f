"""``espalier dedup --ndr``: Datumaro's near-duplicate removal, under the names of ``datum transform -t ndr``."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import echo_recall, print_json, table
from espalier.cli.option_groups import GroupedOption, given_options
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.apps.ndr import StoredNdr
    from espalier.cli.launch import Launcher
    from espalier.core.dedup.ndr import Ndr

GROUP = "Datumaro's NDR, with --ndr"
SHOWN = 20
ALLOWED = ("ndr", "name", "format_name", "option", "output", "overwrite", "as_json")
"""Plain options of ``dedup`` that say something with --ndr."""

_option = functools.partial(click.option, cls=GroupedOption, group=GROUP)


def ndr_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the plugin's parameters, with its short names where it has some."""
    from_plugin = (
        _option("-w", "--working-subset", metavar="SUBSET", help="The subset to work in [all of them]."),
        _option("--per-subset", is_flag=True, help="Work in every subset by itself [in all of them together]."),
        _option("-d", "--duplicated-subset", metavar="SUBSET", help="Where removed samples go [duplicated]."),
        _option("-a", "--algorithm", type=click.Choice(["gradient"]), help="What is compared [gradient]."),
        _option("-k", "--num-cut", type=int, help="Samples of the working subset to keep [all but duplicates]."),
        _option(
            "-e",
            "--over-sample",
            type=click.Choice(["random", "similarity"]),
            help="How samples come back when too few are left for --num-cut [random].",
        ),
        _option(
            "-u",
            "--under-sample",
            type=click.Choice(["uniform", "inverse"]),
            help="How samples go when too many are left for --num-cut [uniform].",
        ),
        _option("-s", "--seed", type=int, help="Seed of the order and of the samplings [0]."),
        _option("--block-shape", metavar="ROWSxCOLUMNS", help="Blocks of a picture [8x8]."),
        _option("--hash-dim", type=int, help="Bits of the key that inverse counts by [32]."),
        _option("--sim-threshold", type=float, help="Duplicates from this cosine ** 50 on [0.5]."),
    )
    for option in reversed(from_plugin):
        command = option(command)
    return command


def take_parameters(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Take the plugin's parameters out of ``given`` and return those that were written.

    Raises
    ------
    UsageError
        When they stand without --ndr, or options of the chain's own search with it.
    """
    names = [param.name for param in ctx.command.params if isinstance(param, GroupedOption)]
    values = {str(name): given.pop(str(name)) for name in names}
    written = given_options(ctx, grouped=True)
    if not given["ndr"]:
        if written:
            raise UsageError(f"{_words(written)}: a parameter of Datumaro's NDR.", "Add --ndr to run that.")
        return {}
    foreign = {k: v for k, v in given_options(ctx, grouped=False).items() if k not in ALLOWED}
    if foreign:
        raise UsageError(
            f"{_words(foreign)}: of Espalier's own search, not of NDR.", "Leave it out, or leave --ndr out."
        )
    return {name: values[name] for name in written}


def parameters_of(written: dict[str, Any]) -> "Ndr":
    """Return the plugin's parameters, checked."""
    from espalier.core.dedup.ndr import Ndr

    shape = written.get("block_shape")
    if shape is not None:
        found = re.fullmatch(r"([1-9]\d{0,2})[x,]([1-9]\d{0,2})", shape, re.ASCII)
        if not found:
            raise UsageError(f"--block-shape {shape} is not ROWSxCOLUMNS.", "Write for example 8x8.")
        written = {**written, "block_shape": (int(found[1]), int(found[2]))}
    return Ndr(**written)


def run(launcher: "Launcher", name: str, parameters: "Ndr") -> "StoredNdr":
    """Read what is not read yet, and run NDR; nothing of the dataset's own duplicates is touched."""
    from espalier.stages.staleness import Staleness

    stale = Staleness(launcher.home, name).stages(("raw_dataset",))
    if stale:
        launcher.chain(name, stale)
    from espalier.apps.ndr import members, run_ndr
    from espalier.cli.progress import shown_bar
    from resources import ComputeResource

    found = members(launcher.home.store().need("raw_dataset", name), parameters)
    with shown_bar("NDR", len(found.facts)) as advance:
        return run_ndr(name, found, parameters, threads=ComputeResource().n_threads(), progress=advance)


def report(answer: "StoredNdr", output: Path | None, *, as_json: bool) -> None:
    """Write the list, and print the answer."""
    from espalier.apps.explain.dropped import listing, write_text
    from espalier.apps.ndr import COLUMNS

    found = answer.summary()
    if output is not None:
        write_text(output, listing(found["removed"], COLUMNS, output.suffix))
    if as_json:
        print_json(found | ({"saved": str(output)} if output else {}))
        return
    _show(found)
    if output is not None:
        click.echo(f"removed samples: {output}")


def _show(found: dict[str, Any]) -> None:
    rows = [[name, counts["before"], counts["after"]] for name, counts in found["subsets"].items()]
    table(f"{found['dataset']}: NDR", ["subset", "before", "after"], rows, right=(1, 2))
    parts = [f"{found['n_duplicates']:,} duplicates"]
    parts += [f"{found['n_cut']:,} more to reach --num-cut"] if found["n_cut"] else []
    parts += [f"{found['n_brought_back']:,} duplicates brought back"] if found["n_brought_back"] else []
    parts += [f"{found['n_unreadable']:,} not to be read now, left as they are"] if found["n_unreadable"] else []
    click.secho(f"kept {found['n_kept']:,} of {found['n_samples']:,}: ", bold=True, nl=False)
    click.echo(", ".join(parts))
    echo_recall(found)
    duplicates = [row for row in found["removed"] if row["duplicate_of"] is not None]
    if duplicates:
        rows = [[r["sample_id"], r["duplicate_of"], f"{r['similarity']:.3f}"] for r in duplicates[:SHOWN]]
        table("", ["duplicate", "of", "cosine ** 50"], rows, right=(2,))
        if len(duplicates) > SHOWN:
            click.echo(f"... and {len(duplicates) - SHOWN:,} more; -o FILE writes all of them.")
    click.echo(f"Nothing was changed: the chain has its own search (espalier dedup {found['dataset']}).")


def _words(options: dict[str, str]) -> str:
    return ", ".join(options.values())
