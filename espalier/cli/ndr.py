"""``espalier dedup --ndr``: Datumaro's near-duplicate removal, under the names of ``datum transform -t ndr``."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from espalier.cli.common import echo_recall, table, with_options
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.core.dedup.ndr import Ndr

GROUP = "Datumaro's NDR, with --ndr"
SHOWN = 20
ALLOWED = ("with_ndr", "name", "format_name", "option", "output", "overwrite", "as_json")
"""Plain options of ``dedup`` that say something with --ndr."""


class NdrOption(click.Option):
    """A parameter of the plugin."""


class NdrCommand(click.Command):
    """A command whose help shows the plugin's parameters in a section of their own; ``--num_cut`` is ``--num-cut``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell long options with hyphens, up to a bare ``--``."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(_hyphens, args[:end]), *args[end:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the plain options, then the plugin's."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, own in (("Options", False), (GROUP, True)):
            records = [option.get_help_record(ctx) for option in options if isinstance(option, NdrOption) == own]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record])


def _hyphens(arg: str) -> str:
    name, equals, value = arg.partition("=")
    return name.replace("_", "-") + equals + value if arg.startswith("--") else arg


_option = functools.partial(click.option, cls=NdrOption)
ndr_options = with_options(  # the plugin's parameters, with its short names where it has some
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


def take_parameters(ctx: click.Context, given: dict[str, Any]) -> "Ndr | None":
    """Take the plugin's parameters out of ``given``; return those that were written, checked, or None without --ndr.

    Refused where they stand without --ndr, or options of the chain's own search with it.
    """
    sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    options = [param for param in ctx.command.params if isinstance(param, click.Option) and param.name]
    values = {option.name: given.pop(option.name) for option in options if isinstance(option, NdrOption)}
    spelled = {o.name: max(o.opts, key=len) for o in options if ctx.get_parameter_source(o.name) in sources}
    written = [name for name in spelled if name in values]
    if not given["with_ndr"]:
        if written:
            own = ", ".join(spelled[name] for name in written)
            raise UsageError(f"{own}: a parameter of Datumaro's NDR.", "Add --ndr to run that.")
        return None
    foreign = [option for name, option in spelled.items() if name not in (*values, *ALLOWED)]
    if foreign:
        raise UsageError(
            f"{', '.join(foreign)}: of Espalier's own search, not of NDR.", "Leave it out, or leave --ndr out."
        )
    from espalier.core.dedup.ndr import Ndr

    parameters = {name: values[name] for name in written}
    if "block_shape" in parameters:
        shape = parameters["block_shape"]
        match = re.fullmatch(r"([1-9]\d{0,2})[x,]([1-9]\d{0,2})", shape, re.ASCII)
        if not match:
            raise UsageError(f"--block-shape {shape} is not ROWSxCOLUMNS.", "Write for example 8x8.")
        parameters["block_shape"] = (int(match[1]), int(match[2]))
    return Ndr(**parameters)


def run(launcher: "Launcher", name: str, parameters: "Ndr", output: Path | None) -> dict[str, Any]:
    """Read what is not read yet, run NDR and write the list; nothing of the dataset's own duplicates is touched."""
    from espalier.apps.explain.dropped import write_listing
    from espalier.apps.ndr import COLUMNS, members, run_ndr
    from espalier.cli.progress import shown_bar
    from resources import ComputeResource

    launcher.refresh(name, ("raw_dataset",))
    taking_part = members(launcher.home.store().need("raw_dataset", name), parameters)
    with shown_bar("NDR", len(taking_part.facts)) as advance:
        verdicts = run_ndr(name, taking_part, parameters, threads=ComputeResource().n_threads(), progress=advance)
    summary = verdicts.summary()
    if output is not None:
        write_listing(output, summary["removed"], COLUMNS)
        summary["saved"] = str(output)
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print what NDR decided."""
    rows = [[name, counts["before"], counts["after"]] for name, counts in summary["subsets"].items()]
    table(f"{summary['dataset']}: NDR", ["subset", "before", "after"], rows, right=(1, 2))
    parts = [f"{summary['n_duplicates']:,} duplicates"]
    for key, words in (
        ("n_cut", "more to reach --num-cut"),
        ("n_brought_back", "duplicates brought back"),
        ("n_unreadable", "not to be read now, left as they are"),
    ):
        parts += [f"{summary[key]:,} {words}"] if summary[key] else []
    click.secho(f"kept {summary['n_kept']:,} of {summary['n_samples']:,}: ", bold=True, nl=False)
    click.echo(", ".join(parts))
    echo_recall(summary)
    duplicates = [row for row in summary["removed"] if row["duplicate_of"] is not None]
    if duplicates:
        rows = [[r["sample_id"], r["duplicate_of"], f"{r['similarity']:.3f}"] for r in duplicates[:SHOWN]]
        table("", ["duplicate", "of", "cosine ** 50"], rows, right=(2,))
        if len(duplicates) > SHOWN:
            click.echo(f"... and {len(duplicates) - SHOWN:,} more; -o FILE writes all of them.")
    click.echo(f"Nothing was changed: the chain has its own search (espalier dedup {summary['dataset']}).")
    if "saved" in summary:
        click.echo(f"removed samples: {summary['saved']}")
