"""``espalier dedup``: the duplicates of a dataset: exact, near and semantic, and leaks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli import ndr
from espalier.cli.common import json_option, option_pairs, print_json, table
from espalier.cli.option_groups import GroupedCommand

if TYPE_CHECKING:
    from espalier.cli.launch import Launcher
    from espalier.io.home import Home


@click.command("dedup", cls=GroupedCommand)
@click.argument("dataset", metavar="DATASET|PATH")
@click.option("--name", help="Name of the dataset when a PATH is given [from the path's last part].")
@click.option("--format", "format_name", help="Format of the data when a PATH is given [found out].")
@click.option("--threshold", type=float, help="Similarity above which images are near duplicates [automatic].")
@click.option("--flips/--no-flips", default=None, help="Also match mirrored copies [no].")
@click.option("--eps", type=float, help="SemDeDup: drop above cosine 1 - eps [0.05].")
@click.option("--rule", type=click.Choice(["keep_one", "paper"]), help="SemDeDup: compare with kept samples, or all.")
@click.option("--rank", type=click.Choice(["hard", "easy", "random"]), help="SemDeDup: which of a group stays.")
@click.option("--target-share", type=float, help="Choose the eps that keeps about this share of the embedded samples.")
@click.option("--reference-dataset", "references", multiple=True, metavar="OTHER",
              help="Drop copies of what this dataset keeps; repeatable.")  # fmt: skip
@click.option("--against", multiple=True, hidden=True, help="The old word for --reference-dataset.")
@click.option("--afresh", is_flag=True, help="Read and compare all again, not only what is new.")
@click.option("--ndr", is_flag=True, help="Run Datumaro's NDR instead; the chain's duplicates stay as they are.")
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the contact sheets and dropped.csv into this folder.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="List the dropped samples here, one id a line (.csv: with reasons).")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="With -o and --save: write over what is there.")
@option_pairs
@json_option
@ndr.ndr_options
@click.pass_context
def command(
    ctx: click.Context, dataset: str, as_json: bool, afresh: bool, target_share: float | None, **given: Any
) -> None:
    """Find a dataset's duplicates. What you set is kept in its card.

    \b
    espalier dedup photos/
    espalier dedup photos --flips --eps 0.1
    espalier dedup photos --target-share 0.63
    espalier dedup new_photos --reference-dataset photos --save sheets/
    espalier dedup photos --ndr -w train -k 1000 -e similarity -o removed.txt
    """  # noqa: D301
    from espalier.apps.explain.dropped import check_list, check_sheets_folder

    written = ndr.take_parameters(ctx, given)
    check_list(given["output"], overwrite=given["overwrite"])
    check_sheets_folder(given["save"], overwrite=given["overwrite"])
    if given["ndr"]:
        _ndr(dataset, written, given, as_json=as_json)
        return
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import dataset_of
    from espalier.io.home import Home
    from espalier.io.landing.zone import LandingZone
    from espalier.stages.staleness import Staleness

    names = {"threshold": "near_threshold", "flips": "flips", "eps": "eps", "rule": "rule", "rank": "rank"}
    options = {option: given[name] for name, option in names.items() if given[name] is not None}
    with Launcher(Home.find()) as launcher:
        zone = LandingZone(launcher.home.landing)
        pairs = (*given["option"], *(f"{option}={json.dumps(value)}" for option, value in options.items()))
        name = dataset_of(launcher.home, dataset, given["name"], given["format_name"], pairs)
        if given["against"]:
            click.echo("--against is now called --reference-dataset.", err=True)
        if references := (*given["references"], *given["against"]):
            for other in references:
                launcher.home.store().need("dedup_set", zone.card(other).name)
            zone.set_references(name, references)
        _run(launcher, name, afresh=afresh)
        if target_share is not None:
            zone.land(zone.card(name).uri, name, options={"eps": _eps_for(launcher.home, name, target_share)})
            _run(launcher, name)
            _echo_share(launcher.home, name)
        assert not Staleness(launcher.home, name).stages(STAGES)
        found = _summary(launcher.home, name) | _files(launcher.home, name, given["output"], given["save"])
    if as_json:
        print_json(found)
    else:
        _show(found)


def _files(home: "Home", name: str, output: Path | None, save: Path | None) -> dict[str, Any]:
    """Write what was asked for; tell where the contact sheets are."""
    from espalier.apps.explain.dropped import (
        COLUMNS,
        dropped_by_chain,
        listing,
        save_duplicates,
        sheet_paths,
        write_text,
    )

    written = save_duplicates(home, name, save) if save is not None else []
    if output is not None:
        write_text(output, listing(dropped_by_chain(home, name), COLUMNS, output.suffix))
        written.append(output)
    return {"sheets": [str(path) for path in sheet_paths(home, name)], "saved": [str(path) for path in written]}


def _ndr(dataset: str, written: dict[str, Any], given: dict[str, Any], *, as_json: bool) -> None:
    """Run Datumaro's NDR and report it; the dataset's card and duplicates stay as they are."""
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import dataset_of
    from espalier.io.home import Home

    parameters = ndr.parameters_of(written)
    with Launcher(Home.find()) as launcher:
        name = dataset_of(launcher.home, dataset, given["name"], given["format_name"], given["option"])
        answer = ndr.run(launcher, name, parameters)
    ndr.report(answer, given["output"], as_json=as_json)


STAGES = ("raw_dataset", "dedup_set", "embeddings", "semantic_dedup_set")


def _run(launcher: "Launcher", name: str, *, afresh: bool = False) -> None:
    from espalier.stages.staleness import Staleness

    stages = STAGES if afresh else Staleness(launcher.home, name).stages(STAGES)
    if stages:
        launcher.chain(name, stages, afresh=afresh)


def _eps_for(home: "Home", name: str, share: float) -> float:
    """Find the eps that keeps about ``share`` of what is embedded."""
    from espalier.apps.target_share import eps_for_share_of
    from espalier.core.errors import UsageError

    if not 0 < share <= 1:
        raise UsageError(f"--target-share {share:g} is out of range.", "It is the share to keep: above 0, up to 1.")
    return round(eps_for_share_of(home, name, share).eps, 6)


def _echo_share(home: "Home", name: str) -> None:
    """Say what the chosen eps keeps, as the stage counted it."""
    meta = home.store().need("semantic_dedup_set", name).meta
    kept, share = meta.stats["n_kept"], meta.stats["n_kept"] / max(meta.n_rows, 1)
    click.echo(f"eps {meta.params['eps']:.4g} keeps {kept:,} samples, a share of {share:.3f}.", err=True)


def _summary(home: "Home", name: str) -> dict[str, Any]:
    store = home.store()
    raw, dedup = store.need("raw_dataset", name).meta.stats, store.need("dedup_set", name)
    semantic = store.need("semantic_dedup_set", name).meta
    stats = dedup.meta.stats
    leaks = dedup.arrow(["* EXCLUDE (uri, of_uri)"], table="leaks").to_pylist()
    return {
        "dataset": name,
        "n_raw": raw["n_raw"],
        "n_unreadable": raw["n_unreadable"],
        **{
            k: stats[k]
            for k in (
                "n_exact",
                "n_exact_pixels",
                "n_near",
                "n_by_hand",
                "n_chained",
                "n_new",
                "n_known",
                "comparisons",
            )
        },
        "n_semantic": semantic.stats["n_semantic"],
        "n_kept": semantic.stats["n_kept"],
        "threshold": stats["threshold"],
        "eps": semantic.params["eps"],
        "leaks": leaks,
    }


def _show(found: dict[str, Any]) -> None:
    rows = [
        ["samples", found["n_raw"], f"{found['n_unreadable']:,} unreadable"],
        ["exact copies", found["n_exact"], f"{found['n_exact_pixels']:,} of them other bytes, the same pixels"],
        ["near duplicates", found["n_near"], f"similarity above {found['threshold']:g}"],
        ["semantic duplicates", found["n_semantic"], f"cosine above {1 - found['eps']:g}"],
        ["left", found["n_kept"], f"{found['n_new']:,} new samples compared, {found['n_known']:,} known"],
    ]
    table(found["dataset"], ["", "number", ""], rows, right=(1,))
    if found["leaks"]:
        shown = found["leaks"][:20]
        click.secho(f"{len(found['leaks'])} pictures stand in two subsets or datasets:", fg="yellow")
        rows = [
            [
                leak["sample_id"],
                f"{leak['of_dataset'] + ': ' if leak['of_dataset'] else ''}{leak['of_sample']}",
                "" if leak["similarity"] is None else f"{leak['similarity']:.3f}",
                "dropped" if leak["dropped"] else "kept (protected)",
            ]
            for leak in shown
        ]
        table("", ["sample", "is a copy of", "similarity", ""], rows)
    for path in found["saved"] or found["sheets"]:
        click.echo(f"{'saved' if found['saved'] else 'contact sheet'}: {path}")
    click.echo(f"One sample's story: espalier why {found['dataset']} SAMPLE")
