"""``espalier compare``: prune methods beside random of the same size, on one dataset."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import launcher, option_pairs, path_options, reporting

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.stages.options import StageOptions

RULE = {
    True: "points of probe accuracy; beats = by more than 1.5 and two standard errors",
    False: "change of the mean radius; beats = smaller by more than 2 % and two standard errors",
}


def show(summary: dict[str, Any]) -> None:
    """Print a comparison: a line a recipe, random among them, and what the words mean."""
    from itertools import groupby

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from espalier.stages.quality_rows import columns, protocol_words

    click.echo(f"{summary['dataset']}: {protocol_words(summary)}")
    titles, lines = columns(summary, brief=True)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place, title in enumerate(titles):
        left = place == 0 or title.startswith("vs ")
        shown.add_column(
            title, justify="left" if left else "right", overflow="fold", no_wrap=not title.startswith("beside")
        )
    pairs = zip(summary["recipes"], lines, strict=True)
    for _, group in groupby(pairs, key=lambda pair: pair[0]["n_kept"]):
        for recipe, line in group:
            shown.add_row(*line, style=_style(recipe))
        shown.add_section()
    Console().print(shown)
    for one in summary["left_out"]:
        click.echo(f"left out: {one['recipe']} {one['why']}")
    if not any(r.get("beside_random", {}).get("beats") for r in summary["recipes"]):
        click.secho("No recipe beats random of its size here.", bold=True)
    click.echo(f"vs random: {RULE['probe_accuracy' in summary['everything']]}.")
    click.echo("±: deviation over seeds; a value without one comes from a method that draws nothing.")
    click.echo(f"plot: {summary['plot']}")


def _style(recipe: dict[str, Any]) -> str:
    verdict = recipe.get("beside_random")
    if verdict is None:
        return "bold"
    if verdict["beats"]:
        return "green"
    return "red" if verdict["difference"] < -verdict["margin"] else ""


def _split(_: click.Context, __: click.Parameter, value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


@click.command("compare")
@click.argument("dataset", metavar="DATASET|PATH")
@click.option("-m", "--methods", callback=_split, help="Methods, separated by commas [all].")
@click.option("-r", "--ratios", callback=_split,
              help="Amounts to keep of the training samples, separated by commas [0.1,0.3,0.5].")  # fmt: skip
@click.option("--recipe", multiple=True, help="A whole recipe to compare too (alone, without --methods); repeatable.")
@click.option("--seeds", type=click.IntRange(1, 100), help="Random subsets of each size [3].")
@click.option("--raw-random", is_flag=True, help="Draw random over all files too, duplicates among them.")
@path_options
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Also write the report here.")
@option_pairs
@reporting(show)
def command(
    dataset: str,
    methods: list[str],
    ratios: list[str],
    recipe: tuple[str, ...],
    seeds: int | None,
    raw_random: bool,
    output: Path | None,
    **given: Any,
) -> dict[str, Any]:
    """Measure methods at several amounts beside random of the same size. Runs what is missing of the chain first.

    Writes compare.png and compare.json below reports/DATASET in the home. How it is measured: docs/quality.md.

    \b
    espalier compare photos
    espalier compare photos/ -m density,stratified -r 0.1,0.3 --seeds 5
    espalier compare photos --recipe density@0.3:keep=easy -o report/
    """  # noqa: D301
    asked = {"compare_ratios": ratios, "quality_seeds": seeds, "raw_random": raw_random}
    asked = {option: value for option, value in asked.items() if value}
    if methods or recipe:
        asked |= {"compare_methods": methods, "compare_recipes": list(recipe)}
    with launcher() as runs:
        summary = compare(runs, dataset, asked, **given)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        for kind in ("plot", "record"):
            summary[kind] = str(shutil.copy(summary[kind], output))
    return summary


def compare(
    launcher: "Launcher",
    target: str,
    asked: dict[str, Any],
    *,
    name: str | None = None,
    format_name: str | None = None,
    option: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Land ``target`` if it is a path, run what is missing or stale, and return the comparison's summary.

    ``asked`` are options of the stage ``comparison``, in the place of the dataset's own.
    """
    from espalier.cli.pruning import dataset_of
    from espalier.io.results import PLOT, RECORD
    from espalier.stages.graph import COMPARISON
    from espalier.stages.options import StageOptions
    from espalier.stages.quality_rows import summarise
    from espalier.stages.staleness import Staleness

    home = launcher.home
    _check_plan(StageOptions().override(asked))
    dataset = dataset_of(home, target, name, format_name, option)
    options = Staleness(home, dataset).options.override(asked)
    _check_plan(options)
    ran = launcher.refresh(dataset)
    files = [home.reports / dataset / file for file in (PLOT, RECORD)]
    if Staleness(home, dataset, options).manifest(COMPARISON) or not all(f.exists() for f in files):
        config = {COMPARISON: {"config": asked}} if asked else None
        ran[launcher.run("comparisons", dataset, [COMPARISON], config=config)] = [COMPARISON]
    table = home.store().need(COMPARISON, dataset)
    summary = summarise(dataset, table.arrow(["*"]), table.arrow(["*"], table="verdicts"), table.meta.stats)
    return {
        **summary,
        "plot": str(files[0]),
        "record": str(files[1]),
        "ran": [stage for stages in ran.values() for stage in stages],
        "runs": list(ran),
    }


def _check_plan(options: "StageOptions") -> None:
    """Refuse an unknown method, ratio or recipe before anything runs."""
    from espalier.core.evaluate.baseline import plan

    plan(options.compare_methods, options.compare_ratios, options.compare_recipes)
