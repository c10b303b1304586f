"""``espalier explore``: what looks like this, or matches these words."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import launcher, open_home, reporting, table
from espalier.cli.main import use_home
from espalier.core.errors import EspalierError, UsageError

if TYPE_CHECKING:
    from espalier.io.home import Home

LISTS = ("--query-img", "--query-img-path", "--query-item", "--query-item-id", "--query-str", "--not")
DEFAULT_FOLDER = "explore_result"
STAGES = ("raw_dataset", "dedup_set", "embeddings")
SHOWN = 80  # characters of a text


class Lists(click.Command):
    """A command whose query options take several values at once when the datasets stand first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a query option before each of its values."""
        if args and not args[0].startswith("-"):
            args = _spread(args)
        return super().parse_args(ctx, args)


def _show(response: dict[str, Any]) -> None:
    results = response["results"]
    several = ["dataset"] if len({result["dataset"] for result in results}) > 1 else []
    rows = []
    for number, result in enumerate(results, start=1):
        text = " ".join(result.get("text", "").split())
        notes = [f"copy of {result['copy_of']}"] if result["copy_of"] else []
        notes += [text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."] if text else []
        fields = (*several, "sample_id", "subset")
        rows.append([number, result["distance"], *(result[field] for field in fields), "; ".join(notes)])
    table("", ["", response["metric"], *several, "sample", "subset", ""], rows, right=(0, 1))
    if not rows:
        click.echo("No sample is left to show.")
    if "saved" in response:
        click.echo(f"Saved to {response['saved']}")


@click.command("explore", cls=Lists)
@click.argument("datasets", nargs=-1, metavar="DATASET|PATH...")
@click.option("--query-img", "--query-img-path", "images", multiple=True, metavar="PATH", help="Pictures like this.")
@click.option("--query-item", "--query-item-id", "items", multiple=True, metavar="ID", help="Like this sample.")
@click.option("--query-item-subset", "item_subset", metavar="SUBSET", help="The subset of the items asked with.")
@click.option("--query-str", "texts", multiple=True, metavar="TEXT", help="What these words mean.")
@click.option("--not", "away", multiple=True, metavar="X", help="Unlike this (img:PATH, item:ID, str:TEXT).")
@click.option("-k", "--topk", "-topk", default=50, show_default=True, help="Number of results.")
@click.option("--metric", type=click.Choice(["hamming", "cosine"]), default="hamming", show_default=True)
@click.option("--fuse", type=click.Choice(["best", "mean", "rrf"]), default="best", show_default=True,
              help="How several queries rank together.")  # fmt: skip
@click.option("--subset", "subsets", multiple=True, help="Show only this subset; repeatable.")
@click.option("--label", "labels", multiple=True, help="Show only samples with this label; repeatable.")
@click.option("--where", default="", metavar="SQL", help="Show only what this condition over the ledger admits.")
@click.option("--unique", is_flag=True, help="Hide near duplicates of what is shown.")
@click.option("--others", is_flag=True, help="Leave out the samples asked with.")
@click.option("--approximate", is_flag=True, help="Look into the nearest groups of hashes only; shows its recall.")
@click.option("--kept-only", is_flag=True, help="Leave out the copies that dedup_set dropped.")
@click.option("--compute/--no-compute", default=True, help="Embed a dataset that has no embeddings yet [compute].")
@click.option("-o", "--output", "--save", "output", is_flag=False, flag_value=DEFAULT_FOLDER, metavar="DIR",
              type=click.Path(path_type=Path),
              help=f"Write a contact sheet, the files and results.json here [{DEFAULT_FOLDER}].")  # fmt: skip
@click.option("-s", "save_flag", is_flag=True, help="The same, to the default folder unless -o names one.")
@click.option("--link", is_flag=True, help="With --save: links to local files instead of copies.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds something; nothing else in it goes.")
@click.option("-p", "--project", type=click.Path(), callback=use_home, expose_value=False,
              help="The home, as --home of espalier.")  # fmt: skip
@reporting(_show)
def command(
    datasets: tuple[str, ...],
    images: tuple[str, ...],
    items: tuple[str, ...],
    texts: tuple[str, ...],
    away: tuple[str, ...],
    compute: bool,
    kept_only: bool,
    output: Path | None,
    save_flag: bool,
    link: bool,
    overwrite: bool,
    **given: Any,
) -> dict[str, Any]:
    """Find the samples that look like pictures, are like samples, or match words. Several queries rank together.

    With the datasets first, a query option takes several values. A dropped copy is found through the sample that it
    copies. How it works: docs/explore.md.

    \b
    espalier explore photos --query-img cat.jpg
    espalier explore photos --query-item cat/0001.jpg cat/0007.jpg --not dog/0003.jpg --topk 20
    espalier explore photos wild --query-str "a monkey" --where "width >= 200" --save found/
    """  # noqa: D301
    from espalier.apps.search import Query, SearchIndex, SearchRequest, check_folder, read_query, save

    folder = check_folder(output or Path(DEFAULT_FOLDER), overwrite=overwrite) if output or save_flag else None
    queries = (
        [Query("image", v) for v in images] + [Query("item", v) for v in items] + [Query("text", v) for v in texts]
    )
    request = SearchRequest(queries=(*queries, *(read_query(v, away=True) for v in away)), **given)
    home = open_home()
    names = _ready(home, datasets, compute)
    index = SearchIndex(home, names, copies=not kept_only, tell=lambda sentence: click.echo(sentence, err=True))
    response = index.ask(request)
    if folder:
        save(response, folder, overwrite=overwrite, link=link)
    return response.as_json() | ({"saved": str(folder)} if folder else {})


def _spread(args: list[str]) -> list[str]:
    out: list[str] = []
    option = ""
    for arg in args:
        if arg.startswith("-"):
            option = arg if arg in LISTS else ""
        elif option and out[-1] != option:
            out.append(option)
        out.append(arg)
    return out


def _ready(home: "Home", datasets: tuple[str, ...], compute: bool) -> list[str]:
    """Land what is a path, and embed what has no embeddings, as one Dagster run a dataset."""
    from espalier.cli.pruning import dataset_of
    from espalier.io.formats.read.base import IMAGE_EXTENSIONS

    if not datasets:
        landed = ", ".join(home.store().datasets("embeddings")) or "none yet; run espalier prune first"
        raise click.UsageError(f"Name the datasets to explore. With embeddings: {landed}.")
    for target in datasets:  # what would otherwise land: a picture of a list that the datasets should stand before
        if not target:
            raise UsageError("A dataset's name is empty.", "Leave it out, or give one.")
        if Path(target).suffix.lower() in IMAGE_EXTENSIONS and Path(target).is_file():
            raise UsageError(
                f"{target} is a picture, not a dataset.",
                "Put the datasets first, or repeat --query-img before each picture.",
            )
    names = [dataset_of(home, target) for target in dict.fromkeys(datasets)]
    missing = [name for name in names if home.store().get("embeddings", name) is None]
    if missing and not compute:
        raise EspalierError(
            f"No embeddings yet: {', '.join(missing)}.", "Leave out --no-compute, and they are computed first."
        )
    if missing:
        with launcher() as runs:
            for name in missing:
                click.echo(f"{name} has no embeddings yet; computing them first.", err=True)
                runs.refresh(name, STAGES)
    return names
