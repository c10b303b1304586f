"""``espalier prune``: from a folder or a dataset's name to a manifest."""

from typing import Any

import click

from espalier.cli.common import (
    echo_export,
    echo_recall,
    export_options,
    launcher,
    open_home,
    option_pairs,
    path_options,
    reporting,
)
from espalier.cli.export_request import ExportRequest
from espalier.core.errors import UsageError
from espalier.core.names import named_values

REASONS = {
    "n_unreadable": "unreadable",
    "n_exact": "exact copies",
    "n_near": "near duplicates",
    "n_by_hand": "dropped by hand",
    "n_not_embedded": "not embedded",
    "n_semantic": "semantic duplicates",
    "n_filtered": "below min_clip_score",
}


def _show(summary: dict[str, Any]) -> None:
    from espalier.core.prune.counts import kept_words

    counts = [f"{summary['n_raw']:,} samples"]
    counts += [f"{summary[key]:,} {reason}" for key, reason in REASONS.items() if summary.get(key)]
    whole = f", {summary['n_whole']:,} are kept whole" if summary["n_whole"] else ""
    click.echo(f"{summary['dataset']}: {', '.join(counts)}; {summary['n_total']:,} reach pruning{whole}.")
    if "brought" in summary:
        from espalier.io.precomputed.alignment import report

        click.echo(f"your embeddings: {report(summary['brought'])}")
    click.secho(f"{summary['recipe']}: kept {kept_words(summary)}", bold=True)
    echo_recall(summary)
    click.echo(f"manifest: {summary['manifest']}")
    if "export" in summary:
        echo_export(summary)


@click.command("prune")
@click.argument("dataset", metavar="DATASET|PATH")
@click.option("-m", "--method", default="random", show_default=True, help="See: espalier methods.")
@click.option("-r", "--ratio", default="0.5", show_default=True, help="Share to keep (0.3, 30%) or a count (n5000).")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="A parameter of the method; repeatable.")
@click.option("--recipe", help="The whole recipe in one text, instead of -m, -r and --param.")
@click.option(
    "--hash-type",
    type=click.Choice(["img", "txt", "both"]),
    help="What query_clust clusters: images, texts, or the hashes of both together (Datumaro's txt). "
    "On a dataset of texts txt has every method that clusters take their hashes.",
)
@path_options
@click.option("--to", "export_format", default="", help="Format of what -o writes, as of export [the dataset's own].")
@click.option("--afresh", is_flag=True, help="Run all stages, and build on nothing that was stored before.")
@export_options
@option_pairs
@reporting(_show)
def command(
    dataset: str,
    method: str,
    ratio: str,
    param: tuple[str, ...],
    recipe: str | None,
    hash_type: str | None,
    wanted: ExportRequest,
    **given: Any,
) -> dict[str, Any]:
    """Prune a dataset by a recipe. Runs the stages that are missing or stale, and nothing else.

    \b
    espalier prune photos/ -m density -r 0.3
    espalier prune photos -m density -r 30% --param keep=easy --param temperature=0.2
    espalier prune photos --recipe random@n5000:seed=7
    espalier prune photos/ -m query_clust -r 0.5 --hash-type txt -o small --overwrite
    """  # noqa: D301
    from espalier.cli.pruning import prune
    from espalier.core.recipe import Recipe

    params = named_values(param, "--param {} is not NAME=VALUE.", "--param {} is given twice.", "--param keep=easy")
    if hash_type is not None:
        params = _hashed(params, hash_type, method, recipe, dataset, given)
    parsed = Recipe.parse(recipe) if recipe else Recipe.build(method, ratio, params)
    if wanted.output is None and not wanted.in_place and wanted != ExportRequest(None):
        raise UsageError("--to, --link and --overwrite are about what -o writes.", "Give a folder with -o.")
    with launcher() as runs:
        return prune(runs, dataset, parsed, wanted=wanted, **given)


def _hashed(
    params: dict[str, str], hash_type: str, method: str, recipe: str | None, dataset: str, given: dict[str, Any]
) -> dict[str, str]:
    """Add ``--hash-type`` to the parameters, where it says anything; texts without pictures have text hashes alone."""
    from espalier.cli.preflight import holds_texts
    from espalier.core.prune import method_class

    if recipe:
        raise UsageError("--recipe is whole, so --hash-type has no place.", f"Write :hash={hash_type} into the recipe.")
    if "hash" in params:
        raise UsageError("--hash-type and --param hash are the same.", "Give one of them.")
    if method == "query_clust":
        return {**params, "hash": hash_type}
    if hash_type == "img":
        return params
    remedy = "Only query_clust clusters the texts of pictures."
    if hash_type != "txt" or "space" not in method_class(method).accepts:
        raise UsageError(f"--hash-type {hash_type} has no meaning for {method}.", remedy)
    if not holds_texts(open_home().zone(), dataset, given["name"], given["format_name"]):
        raise UsageError(f"--hash-type txt has no meaning for {method} on pictures.", remedy)
    return {"space": "hash", **params}
