"""The frame round every asset: what is the same for all of them, so that each file holds only its own step.

``@stage_asset`` takes name, inputs, options and code version from ``resources.graph``, gives the step its tables
and options, stages what it returns, runs its checks on the staged rows, and reports. A partition whose blocking
check fails is thrown away: what stood in its place stays.
"""

import dataclasses
import inspect
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pydantic

from assets.columns import MEANINGS
from assets.partitions import datasets, manifests, split_key
from espalier.errors import EspalierError
from resources.configured import ComputeResource, HomeResource, ProgressResource, ReadingResource
from resources.encoders.names import in_full
from resources.graph import STAGES, Stage
from resources.home import Home
from resources.landing.cards import Card
from resources.landing.zone import LandingZone
from resources.options import Options
from resources.progress import Advance
from resources.scanning.job import Job, Reading
from resources.warehouse import Draft, Meta, Piece, Table, Warehouse

OWNERS = ["team:espalier"]
GROUP = "pruning"  # one group: the page draws several collapsed, and a newcomer would see no asset at first


@dataclass(frozen=True)
class Work:
    """What a step is given beside its tables: names, options, and the outside world.

    Attributes
    ----------
    references : mapping of str to Table
        What it reads of other datasets, under the names that ``Stage.also_reads`` gives.
    previous : Table or None
        The partition that it replaces, where that was made by the same code with the same options and references;
        who builds on it says so in ``Outcome.inputs``, under HISTORY. None for a stage that does not grow.
    replaced : Table or None
        The same, whatever it was made with.
    """

    dataset: str
    recipe: str
    card: Card
    options: Options
    home: Home
    threads: int
    log: logging.Logger
    bar: Callable[[str, int], AbstractContextManager[Advance]]
    read: Callable[[Job], Reading]
    references: Mapping[str, Table]
    previous: Table | None
    replaced: Table | None

    @property
    def store(self) -> Warehouse:
        """The warehouse."""
        return self.home.store()

    @property
    def landing(self) -> LandingZone:
        """The landing zone."""
        return LandingZone(self.home.landing)


@dataclass(frozen=True)
class Outcome:
    """What a step returns: rows to store, metadata to show, folders to publish with them.

    ``inputs`` names the versions of what was read beside tables that it was given: the landed files (``listing``),
    and the replaced partition where it was built on (HISTORY). ``cleanup`` is what may go once the rows are stored.
    """

    draft: Draft
    metadata: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[Piece, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    cleanup: tuple[Piece, ...] = ()


CheckFunction = Callable[[Table, Mapping[str, Table], Work], tuple[bool, Mapping[str, Any]]]


@dataclass(frozen=True)
class Check:
    """An invariant of an asset (blocking), or a matter of taste (a warning).

    ``run(staged, upstream, work)`` returns whether it holds and metadata that says why. Whether it blocks may
    depend on the dataset's options.
    """

    name: str
    description: str
    run: CheckFunction
    blocking: bool | Callable[[Work], bool] = True

    def blocks(self, work: Work) -> bool:
        """Return whether it blocks for this dataset."""
        return self.blocking if isinstance(self.blocking, bool) else self.blocking(work)


def stage_asset(
    name: str, *, kinds: set[str], checks: tuple[Check, ...] = ()
) -> Callable[[Callable[..., Outcome]], dg.AssetsDefinition]:
    """Make an asset of the step ``fn(work, **tables) -> Outcome``; its docstring is the description."""
    stage = STAGES[name]
    partitions = manifests if stage.per_recipe else datasets
    config_class = _config_class(stage)

    def decorate(step: Callable[..., Outcome]) -> dg.AssetsDefinition:
        @dg.asset(
            name=name,
            ins={upstream: dg.AssetIn() for upstream in stage.reads},
            partitions_def=partitions,
            code_version=stage.version,
            description=inspect.cleandoc(step.__doc__ or ""),
            group_name=GROUP,
            kinds=kinds,
            owners=OWNERS,
            automation_condition=_automation(stage),
            check_specs=[_check_spec(name, c, partitions) for c in checks],
            io_manager_key="warehouse",
            dagster_type=dg.Any,
        )
        def asset(  # noqa: ANN202 - Dagster would take an annotation for the type of one output
            context: dg.AssetExecutionContext,
            config: config_class,  # type: ignore[valid-type]
            home: HomeResource,
            progress: ProgressResource,
            compute: ComputeResource,
            reading: ReadingResource,
            **tables: Table,
        ):
            try:
                work = _work(context, stage, config, home, progress, compute, reading)
                yield from _run(name, step, checks, work, tables)
            except EspalierError as error:
                raise dg.Failure(
                    description=str(error), metadata={"exit code": error.exit_code}, allow_retries=False
                ) from error

        return asset

    return decorate


def _automation(stage: Stage) -> dg.AutomationCondition | None:
    """Return the eager rule; a recipe's asset follows the last of what it reads, and none before that is made.

    Its runs have other partitions than the chain's, so on a change of ``raw_dataset`` they would start beside the
    chain's run and see the old clusters.
    """
    if not stage.reads or stage.on_demand:
        return None
    eager = dg.AutomationCondition.eager()
    return eager.ignore(dg.AssetSelection.assets(*stage.reads[:-1])) if stage.per_recipe else eager


def _check_spec(asset: str, check: Check, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """Declare a check a partition: without that, the page shows one dataset's verdict for all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            check.name,
            asset=asset,
            description=check.description,
            blocking=check.blocking is not False,
            partitions_def=partitions,
        )


def _run(
    name: str,
    step: Callable[..., Outcome],
    checks: tuple[Check, ...],
    work: Work,
    tables: Mapping[str, Table],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Do the step and give its result; a refused one gives only its checks, so nothing counts as materialized."""
    read = {**tables, **work.references}
    inputs = {n: t.meta.data_version for n, t in read.items()}
    states = {n: t.state() for n, t in read.items()}
    began = time.monotonic()
    outcome = step(work, **tables)
    took = time.monotonic() - began
    meta = Meta(
        asset=name,
        dataset=work.dataset,
        recipe=work.recipe,
        code_version=STAGES[name].version,
        params=work.options.pick(STAGES[name].options),
        inputs={**inputs, **outcome.inputs},
    )
    pieces: list[Piece] = [*outcome.folders, *outcome.cleanup]
    try:
        staged = work.store.stage(outcome.draft, meta)
        pieces.insert(len(outcome.folders), staged)
        _same_inputs(work.dataset, states, inputs, read)
        results = [_checked(check, staged.table, tables, work) for check in checks]
        broken = [(c, r) for c, r in zip(checks, results, strict=True) if c.blocks(work) and not r.passed]
        if broken:
            yield from results
            raise EspalierError(f"{name}: {_words(broken)}", "What was stored before is unchanged.")
    except BaseException:
        for piece in pieces:
            piece.discard()
        raise
    stored = staged.table.meta
    yield dg.MaterializeResult(
        value=pieces,
        data_version=dg.DataVersion(stored.data_version),
        check_results=results,
        metadata={
            "dagster/row_count": stored.n_rows,
            "dagster/column_schema": _schema(outcome.draft),
            "stage_seconds": round(took, 3),
            **{f"also read: {k}": v for k, v in stored.inputs.items() if k not in tables},
            **{f"option: {k}": str(v) for k, v in meta.params.items()},
            **{k: v for k, v in outcome.draft.stats.items() if isinstance(v, int | float | str)},
            **outcome.metadata,
        },
    )


def _checked(check: Check, staged: Table, tables: Mapping[str, Table], work: Work) -> dg.AssetCheckResult:
    passed, why = check.run(staged, tables, work)
    severity = dg.AssetCheckSeverity.ERROR if check.blocks(work) else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=passed, check_name=check.name, metadata=dict(why), severity=severity)


def _same_inputs(
    dataset: str,
    states: Mapping[str, tuple[int, int, int]],
    versions: Mapping[str, str],
    tables: Mapping[str, Table],
) -> None:
    """Refuse a result whose inputs another run replaced meanwhile by other rows: it may have seen some of both."""
    for name, table in tables.items():
        if table.state() != states[name] and Table(table.path).meta.data_version != versions[name]:
            raise EspalierError(f"{name} of {dataset!r} was made anew during this step.", "Run it again.")


def _words(broken: list[tuple[Check, dg.AssetCheckResult]]) -> str:
    """Say which checks do not hold, with their numbers."""
    return "; ".join(
        f"the check {check.name} does not hold ({', '.join(f'{k}: {v.value}' for k, v in result.metadata.items())})."
        for check, result in broken
    )


def _work(
    context: dg.AssetExecutionContext,
    stage: Stage,
    config: dg.Config,
    home: HomeResource,
    progress: ProgressResource,
    compute: ComputeResource,
    reading: ReadingResource,
) -> Work:
    dataset, recipe = split_key(context.partition_key)
    opened = home.open()
    card = home.landing().card(dataset)
    options = Options.of_card(card)
    given = {f: getattr(config, f) for f in stage.options if getattr(config, f) is not None}
    if given:
        options = Options.build({**dataclasses.asdict(options), **given}, where="run config")
    options, store = in_full(options, opened.models), opened.store()
    params = options.pick(stage.options)
    references = {name: store.need(*partition) for name, partition in stage.also_reads(params).items()}
    replaced = store.get(stage.name, dataset, recipe) if stage.grows and not config.model_dump()["afresh"] else None
    return Work(
        dataset,
        recipe,
        card,
        options,
        opened,
        compute.n_threads(),
        context.log,
        lambda label, total: progress.bar(context.log, label, total),
        reading.open,
        references,
        replaced if replaced and _made_alike(replaced.meta, stage, params, references) else None,
        replaced,
    )


def _made_alike(meta: Meta, stage: Stage, params: Mapping[str, Any], references: Mapping[str, Table]) -> bool:
    """Tell whether a partition was made by this code with these options, beside these partitions of other datasets."""
    same = meta.code_version == stage.version and meta.params == params
    return same and all(meta.inputs.get(n) == t.meta.data_version for n, t in references.items())


def _config_class(stage: Stage) -> type[dg.Config]:
    """Make the run config of a stage: its options, all optional; what is not given comes from the card."""
    known = {f.name: f for f in dataclasses.fields(Options)}
    shown = {bool: bool, int: int, float: float}
    entries: dict[str, Any] = {}
    if stage.grows:
        text = "build on nothing that was stored before, as in a fresh home (default: false)"
        entries["afresh"] = (bool, pydantic.Field(default=False, description=text))
    for f in stage.options:
        default = known[f].default
        kind = shown.get(type(default), str) if not isinstance(default, tuple) else list[str]
        text = f"{known[f].metadata['help']} (default: the dataset's card, else {default!r})"
        entries[f] = (kind | None, pydantic.Field(default=None, description=text))
    title = "".join(word.title() for word in stage.name.split("_"))
    return pydantic.create_model(f"{title}Config", __base__=dg.Config, **entries)


def _schema(draft: Draft) -> dg.TableSchema:
    return dg.TableSchema(
        [dg.TableColumn(f.name, str(f.type), description=MEANINGS.get(f.name)) for f in draft.rows.schema]
    )
