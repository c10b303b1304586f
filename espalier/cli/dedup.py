"""``espalier dedup``: the duplicates of a dataset: exact, near and semantic, and leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli import ndr
from espalier.cli.common import launcher, option_pairs, path_options, reporting, table, to_json
from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.io.home import Home

STAGES = ("raw_dataset", "dedup_set", "embeddings", "semantic_dedup_set")
CHAIN_OPTIONS = ("near", "near_threshold", "flips", "eps", "rule", "which_to_keep")
COUNTS = (
    *("n_exact", "n_exact_pixels", "n_near", "n_by_hand", "n_chained", "n_new", "n_known", "comparisons"),
    *("n_copies", "n_similar", "n_proposed", "n_verified"),
)


def _show(summary: dict[str, Any]) -> None:
    if "parameters" in summary:
        ndr.show(summary)
        return
    rows = [
        ["samples", summary["n_raw"], f"{summary['n_unreadable']:,} unreadable"],
        ["exact copies", summary["n_exact"], f"{summary['n_exact_pixels']:,} of them other bytes, the same pixels"],
        ["near duplicates", summary["n_near"], f"similarity above {summary['threshold']:g}"],
        ["semantic duplicates", summary["n_semantic"], f"cosine above {1 - summary['eps']:g}"],
        ["left", summary["n_kept"], f"{summary['n_new']:,} new samples compared, {summary['n_known']:,} known"],
    ]
    table(summary["dataset"], ["", "number", ""], rows, right=(1,))
    if summary["leaks"]:
        samples = {leak["sample_id"] for leak in summary["leaks"]}
        click.secho(f"{len(samples)} pictures stand in two subsets or datasets:", fg="yellow")
        rows = [
            [
                leak["sample_id"],
                f"{leak['of_dataset'] + ': ' if leak['of_dataset'] else ''}{leak['of_sample']}",
                "" if leak["similarity"] is None else f"{leak['similarity']:.3f}",
                "dropped" if leak["dropped"] else "kept (protected)",
            ]
            for leak in summary["leaks"][:20]
        ]
        table("", ["sample", "is a copy of", "similarity", ""], rows)
    for path in summary["saved"] or summary["sheets"]:
        click.echo(f"{'saved' if summary['saved'] else 'contact sheet'}: {path}")
    click.echo(f"One sample's story: espalier why {summary['dataset']} SAMPLE")


@click.command("dedup", cls=ndr.NdrCommand)
@click.argument("dataset", metavar="DATASET|PATH")
@path_options
@click.option("--near", type=click.Choice(["fast", "standard"]),
              help="Near duplicates by a grid of means, or by layout, aligned and verified [standard].")  # fmt: skip
@click.option("--threshold", "near_threshold", type=float,
              help="Similarity above which images are near duplicates [automatic].")  # fmt: skip
@click.option("--flips/--no-flips", default=None,
              help="Also drop mirrored copies within a subset [no].")  # fmt: skip
@click.option("--eps", type=float, help="SemDeDup: drop above cosine 1 - eps [0.05].")
@click.option("--rule", type=click.Choice(["keep_one", "paper"]), help="SemDeDup: compare with kept samples, or all.")
@click.option("--which-to-keep", "--rank", type=click.Choice(["hard", "easy", "random"]),
              help="SemDeDup: which of a group stays.")  # fmt: skip
@click.option("--target-share", type=float, help="Choose the eps that keeps about this share of the embedded samples.")
@click.option("--reference-dataset", "references", multiple=True, metavar="OTHER",
              help="Drop copies of what this dataset keeps; repeatable.")  # fmt: skip
@click.option("--against", multiple=True, hidden=True, help="The old word for --reference-dataset.")
@click.option("--afresh", is_flag=True, help="Read and compare all again, not only what is new.")
@click.option("--ndr", "with_ndr", is_flag=True,
              help="Run Datumaro's NDR instead; the chain's duplicates stay as they are.")  # fmt: skip
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the contact sheets and dropped.csv into this folder.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="List the dropped samples here, one id a line (.csv: with reasons).")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="With -o and --save: write over what is there.")
@option_pairs
@ndr.ndr_options
@reporting(_show)
@click.pass_context
def command(
    ctx: click.Context,
    dataset: str,
    name: str | None,
    format_name: str | None,
    option: tuple[str, ...],
    target_share: float | None,
    references: tuple[str, ...],
    against: tuple[str, ...],
    afresh: bool,
    save: Path | None,
    output: Path | None,
    overwrite: bool,
    **given: Any,
) -> dict[str, Any]:
    """Find a dataset's duplicates. What you set is kept in its card.

    \b
    espalier dedup photos/
    espalier dedup photos --flips --eps 0.1
    espalier dedup photos --target-share 0.63
    espalier dedup new_photos --reference-dataset photos --save sheets/
    espalier dedup photos --ndr -w train -k 1000 -e similarity -o removed.txt
    """  # noqa: D301
    from espalier.apps.explain.dropped import (
        check_list,
        dropped_by_chain,
        save_duplicates,
        sheet_paths,
        write_listing,
    )
    from espalier.apps.search.save import check_folder
    from espalier.cli.pruning import dataset_of
    from espalier.stages.staleness import Staleness

    parameters = ndr.take_parameters(ctx, given)  # None: not asked for
    check_list(output, overwrite=overwrite)
    if save is not None:
        check_folder(save, overwrite=overwrite)
    with launcher() as runs:
        home = runs.home
        if parameters is not None:
            return ndr.run(runs, dataset_of(home, dataset, name, format_name, option), parameters, output)
        zone = home.zone()
        chain = tuple(f"{option}={to_json(given[option])}" for option in CHAIN_OPTIONS if given[option] is not None)
        name = dataset_of(home, dataset, name, format_name, (*option, *chain))
        if against:
            click.echo("--against is now called --reference-dataset.", err=True)
        if references := (*references, *against):
            for other in references:
                home.store().need("dedup_set", zone.card(other).name)
            zone.set_references(name, references)
        runs.refresh(name, STAGES, afresh=afresh)
        if target_share is not None:
            zone.land(zone.card(name).uri, name, options={"eps": _eps_for(home, name, target_share)})
            runs.refresh(name, STAGES)
            meta = home.store().need("semantic_dedup_set", name).meta
            kept, share = meta.stats["n_kept"], meta.stats["n_kept"] / max(meta.n_rows, 1)
            click.echo(f"eps {meta.params['eps']:.4g} keeps {kept:,} samples, a share of {share:.3f}.", err=True)
        assert not Staleness(home, name).stages(STAGES)
        written = save_duplicates(home, name, save) if save is not None else []
        if output is not None:
            write_listing(output, dropped_by_chain(home, name))
            written.append(output)
        files = {"sheets": list(map(str, sheet_paths(home, name))), "saved": list(map(str, written))}
        return _summary(home, name) | files


def _eps_for(home: "Home", name: str, share: float) -> float:
    """Find the eps that keeps about ``share`` of what is embedded."""
    from espalier.apps.target_share import eps_for_share_of

    if not 0 < share <= 1:
        raise UsageError(f"--target-share {share:g} is out of range.", "It is the share to keep: above 0, up to 1.")
    return round(eps_for_share_of(home, name, share).eps, 6)


def _summary(home: "Home", name: str) -> dict[str, Any]:
    raw, dedup, semantic = (home.store().need(stage, name) for stage in ("raw_dataset", "dedup_set", STAGES[-1]))
    return {
        "dataset": name,
        **{count: raw.meta.stats[count] for count in ("n_raw", "n_unreadable")},
        **{count: dedup.meta.stats[count] for count in COUNTS},
        **{count: semantic.meta.stats[count] for count in ("n_semantic", "n_kept")},
        "threshold": dedup.meta.stats["threshold"],
        "eps": semantic.meta.params["eps"],
        "leaks": dedup.arrow(["* EXCLUDE (uri, of_uri)"], table="leaks").to_pylist(),
    }
