"""The job ``explore``: a search launched from the page, its contact sheet in the run's metadata.

It reads what is stored and makes no asset. The command line answers the same questions without a run.
"""

import dagster as dg
from pydantic import Field

from espalier.errors import EspalierError
from resources import plots
from resources.configured import HomeResource

SHOWN = 50  # rows of the table in the metadata


class ExploreConfig(dg.Config):
    """What is looked for, where, and how."""

    queries: list[str] = Field(
        default=[],
        description="Pictures, samples or words: img:PATH, item:ID, str:WORDS. Without a prefix a file is a picture, "
        "anything else the id of a sample.",
    )
    without: list[str] = Field(default=[], description="Examples that push away, written like the queries.")
    datasets: list[str] = Field(default=[], description="Names of datasets; none means all that have embeddings.")
    topk: int = Field(default=50, description="Number of results.")
    metric: str = Field(default="hamming", description="hamming (packed hashes) or cosine.")
    fuse: str = Field(default="best", description="How several queries rank together: best, mean or rrf.")
    subsets: list[str] = Field(default=[], description="Show only these subsets.")
    labels: list[str] = Field(default=[], description="Show only samples with one of these labels.")
    where: str = Field(default="", description="An SQL condition over the ledger, such as width >= 200.")
    unique: bool = Field(default=False, description="Hide near duplicates of what is shown.")
    others: bool = Field(default=False, description="Leave out the samples asked with.")
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
    description="Find what looks like a picture or a sample, or matches words. The output's metadata has a sheet.",
)
def explore() -> None:
    """One op: it searches and reports."""
    explore_op()


def _answer(context: dg.OpExecutionContext, config: ExploreConfig, home: HomeResource) -> dict[str, dg.MetadataValue]:
    from pathlib import Path

    from resources.exploring import Asked, Explored, check_folder, read_query, save, sheet

    opened = home.open()
    folder = check_folder(Path(config.save), overwrite=config.overwrite) if config.save else None
    asked = Asked(
        queries=(*map(read_query, config.queries), *(read_query(v, away=True) for v in config.without)),
        topk=config.topk,
        metric=config.metric,
        fuse=config.fuse,
        subsets=tuple(config.subsets),
        labels=tuple(config.labels),
        where=config.where,
        unique=config.unique,
        others=config.others,
    )
    datasets = config.datasets or opened.store().datasets("embeddings")
    answer = Explored(opened, datasets, tell=context.log.info).ask(asked)
    records = [
        dg.TableRecord({key: "" if value is None else value for key, value in result.as_json().items()})
        for result in answer.results[:SHOWN]
    ]
    found: dict[str, dg.MetadataValue] = {
        "contact sheet": dg.MetadataValue.md(plots.markdown(sheet(answer), "queries, then results")),
        "found": dg.MetadataValue.int(len(answer.results)),
        "answer": dg.MetadataValue.json(answer.as_json()),
    }
    if records:
        found["results"] = dg.MetadataValue.table(records)
    if folder:
        save(answer, folder, overwrite=config.overwrite)
        found["saved"] = dg.MetadataValue.path(str(folder))
    return found
