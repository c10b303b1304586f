"""The job ``explore``: a search launched from the page, its contact sheet in the run's metadata.

It reads what is stored and makes no asset. The command line answers the same questions without a run.
"""

from enum import Enum

import dagster as dg
from pydantic import Field

from espalier.core.errors import EspalierError
from espalier.io.drawing.inline import in_markdown
from resources import HomeResource

SHOWN = 50  # rows of the table in the metadata
HOW_TO = """
Find what looks like a picture, is like a sample, or matches words.

1. Open **Launchpad** and write below `queries` what to look for, one or several lines:

   - `- str:a red car` (words)
   - `- item:train/cat/0001.jpg` (a sample: its id, or the end of it)
   - `- img:/photos/new.jpg` (a picture that this machine can read)

2. Press **Launch Run**.
3. In the run, at `STEP_OUTPUT`, press **[Show Markdown]** beside *contact sheet*.

`datasets: []` searches all of them. **Scaffold all default config** shows what else there is.
"""
# What the Launchpad opens with: the three things that nearly every search sets.
EXAMPLE = {"ops": {"find": {"config": {"queries": ["str:a red car"], "datasets": [], "topk": 50}}}}


class MetricName(Enum):
    """How likeness is measured; a choice, so that the page refuses another before the run."""

    hamming = "hamming"
    cosine = "cosine"


class FuseName(Enum):
    """How several queries rank together."""

    best = "best"
    mean = "mean"
    rrf = "rrf"


class ExploreConfig(dg.Config):
    """What is looked for, where, and how."""

    queries: list[str] = Field(
        description="What to look for: str:WORDS, item:ID (a sample), img:PATH (a picture). Without a prefix a file "
        "is a picture, anything else the id of a sample.",
    )
    without: list[str] = Field(default=[], description="What the results should not be like, written like queries.")
    datasets: list[str] = Field(default=[], description="Names of datasets; none means all that have embeddings.")
    topk: int = Field(default=50, description="Number of results.")
    metric: MetricName = Field(default=MetricName.hamming, description="hamming (packed hashes) or cosine.")
    fuse: FuseName = Field(default=FuseName.best, description="How several queries rank together: best, mean or rrf.")
    subsets: list[str] = Field(default=[], description="Show only these subsets.")
    labels: list[str] = Field(default=[], description="Show only samples with one of these labels.")
    where: str = Field(default="", description="An SQL condition over the ledger, such as width >= 200.")
    unique: bool = Field(default=False, description="Hide near duplicates of what is shown.")
    others: bool = Field(default=False, description="Leave out the samples asked with.")
    approximate: bool = Field(
        default=False, description="Look into the nearest groups of hashes only; logs its recall."
    )
    save: str = Field(default="", description="A folder to write the sheet, the files and results.json to.")
    overwrite: bool = Field(default=False, description="Write into that folder though it holds something.")


@dg.op(name="find", out=dg.Out(dg.Nothing), description="Find what looks like a picture or matches words.")
def explore_op(context: dg.OpExecutionContext, config: ExploreConfig, home: HomeResource) -> None:
    """Answer one question; the sheet and the table of results become the output's metadata."""
    try:
        context.add_output_metadata(_answer(context, config, home))
    except EspalierError as error:
        raise dg.Failure(
            description=str(error), metadata={"exit code": error.exit_code}, allow_retries=False
        ) from error


@dg.job(
    name="explore",
    executor_def=dg.in_process_executor,
    config=EXAMPLE,
    description=HOW_TO,
)
def explore() -> None:
    """One op: it searches and reports."""
    explore_op()


def _answer(context: dg.OpExecutionContext, config: ExploreConfig, home: HomeResource) -> dict[str, dg.MetadataValue]:
    from pathlib import Path

    from espalier.apps.search import SearchIndex, SearchRequest, check_folder, read_query, save, sheet

    opened = home.open()
    folder = check_folder(Path(config.save), overwrite=config.overwrite) if config.save else None
    request = SearchRequest(
        queries=(*map(read_query, config.queries), *(read_query(v, away=True) for v in config.without)),
        topk=config.topk,
        metric=config.metric.value,
        fuse=config.fuse.value,
        subsets=tuple(config.subsets),
        labels=tuple(config.labels),
        where=config.where,
        unique=config.unique,
        others=config.others,
        approximate=config.approximate,
    )
    datasets = config.datasets or opened.store().datasets("embeddings")
    response = SearchIndex(opened, datasets, tell=context.log.info).ask(request)
    png = sheet(response)
    file = opened.dagster / "sheets" / f"{context.run_id}.png"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(png)
    metadata: dict[str, dg.MetadataValue] = {
        "contact sheet": dg.MetadataValue.md(in_markdown(png, "queries, then results")),
        "contact sheet: file": dg.MetadataValue.path(str(file)),
        "found": dg.MetadataValue.int(len(response.results)),
    }
    if response.results:
        rows = [
            dg.TableRecord(
                {
                    "": number,
                    "distance": result.as_json()["distance"],
                    "dataset": result.dataset,
                    "sample": result.sample_id,
                    "subset": result.subset,
                    "copy of": result.copy_of or "",
                }
            )
            for number, result in enumerate(response.results[:SHOWN], start=1)
        ]
        metadata["results"] = dg.MetadataValue.table(rows)
    metadata["answer"] = dg.MetadataValue.json(response.as_json())
    if folder:
        save(response, folder, overwrite=config.overwrite)
        metadata["saved"] = dg.MetadataValue.path(str(folder))
    return metadata
