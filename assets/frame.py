"""What all assets share: how one is declared, and the frame round the one call of its stage.

``declared`` takes inputs, options and code version from ``espalier.stages.graph``. ``materialized`` runs the stage,
stages what it returns, runs the checks on the staged rows, and reports. A partition whose blocking check fails is
thrown away: what stood in its place stays. What a stage computes is in ``espalier.stages``.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.checks import Check
from assets.columns import MEANINGS
from assets.partitions import datasets, manifests, split_key
from espalier.core.errors import EspalierError
from espalier.io.drawing.inline import in_markdown
from espalier.io.warehouse import Meta, Piece, Table
from espalier.stages.context import Markdown, Picture, Shown, StageContext, StageResult
from espalier.stages.graph import STAGES, Stage
from espalier.stages.options import StageOptions

OWNERS = ["team:espalier"]


def declared(
    name: str, *, group: str, kinds: set[str], checks: tuple[Check, ...] = (), pool: str = "cpu"
) -> dict[str, Any]:
    """Return what ``dg.asset`` is told of a stage; how many runs a pool takes at once is the deployment's setting."""
    stage = STAGES[name]
    partitions = manifests if stage.per_recipe else datasets
    starts = "on-demand" if stage.on_demand else "eager" if stage.reads else "landing"
    return {
        "ins": {upstream: dg.AssetIn(dagster_type=Table) for upstream in stage.reads},
        "partitions_def": partitions,
        "code_version": stage.version,
        "group_name": group,
        "kinds": kinds,
        "owners": OWNERS,
        "tags": {"espalier/per": "recipe" if stage.per_recipe else "dataset", "espalier/starts": starts},
        "pool": pool,
        "automation_condition": _automation(stage),
        "check_specs": [_check_spec(name, check, partitions) for check in checks],
        "config_schema": _config_schema(stage),
        "required_resource_keys": {"home", "progress", "compute"},
        "io_manager_key": "warehouse",
        "dagster_type": dg.Any,
    }


def materialized(
    context: dg.AssetExecutionContext, run: Callable[..., StageResult], checks: tuple[Check, ...], **tables: Table
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Run a stage on its tables and give its result; a user's mistake is a failure in words."""
    try:
        yield from _checked_result(context.asset_key.path[-1], run, checks, _opened(context), tables)
    except EspalierError as error:
        metadata = {"exit code": error.exit_code}
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error


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


def _config_schema(stage: Stage) -> dict[str, dg.Field]:
    """Make the run config of a stage: its options, all optional; what is not given comes from the card."""
    known = StageOptions.model_fields
    shown = {bool: bool, int: int, float: float}
    fields = {}
    if stage.grows:
        text = "build on nothing that was stored before, as in a fresh home (default: false)"
        fields["afresh"] = dg.Field(bool, default_value=False, description=text)
    for name in stage.options:
        default = known[name].default
        kind = [str] if isinstance(default, tuple) else shown.get(type(default), str)
        text = f"{known[name].description} (default: the dataset's card, else {default!r})"
        fields[name] = dg.Field(kind, is_required=False, description=text)
    return fields


def _opened(context: dg.AssetExecutionContext) -> StageContext:
    dataset, recipe = split_key(context.partition_key)
    given, resources = dict(context.op_execution_context.op_config), context.resources
    return StageContext.open(
        resources.home.open(),
        context.asset_key.path[-1],
        dataset,
        recipe,
        afresh=given.pop("afresh", False),
        given=given,
        threads=resources.compute.n_threads(),
        log=context.log,
        bar=lambda label, total: resources.progress.bar(context.log, label, total),
        read=resources.compute.read,
    )


def _checked_result(
    name: str,
    run: Callable[..., StageResult],
    checks: tuple[Check, ...],
    context: StageContext,
    tables: Mapping[str, Table],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Give the result of a stage; a refused one gives only its checks, so nothing counts as materialized."""
    read = {**tables, **context.references}
    inputs = {n: t.meta.data_version for n, t in read.items()}
    states = {n: t.state() for n, t in read.items()}
    began = time.monotonic()
    result = run(context, **tables)
    took = time.monotonic() - began
    meta = Meta(
        asset=name,
        dataset=context.dataset,
        recipe=context.recipe,
        code_version=STAGES[name].version,
        params=context.options.pick(STAGES[name].options),
        inputs={**inputs, **result.inputs},
    )
    pieces: list[Piece] = [*result.folders, *result.cleanup]
    try:
        staged = context.home.store().stage(result.draft, meta)
        pieces.insert(len(result.folders), staged)
        _same_inputs(context.dataset, states, inputs, read)
        results = [_checked(check, staged.table, tables, context) for check in checks]
        broken = [(c, r) for c, r in zip(checks, results, strict=True) if c.blocks(context) and not r.passed]
        if broken:
            yield from results
            raise EspalierError(f"{name}: {_words(broken)}", "What was stored before is unchanged.")
    except BaseException:
        for piece in pieces:
            piece.discard()
        raise
    stored, fields = staged.table.meta, result.draft.rows.schema
    columns = [dg.TableColumn(f.name, str(f.type), description=MEANINGS.get(f.name)) for f in fields]
    yield dg.MaterializeResult(
        value=pieces,
        data_version=dg.DataVersion(stored.data_version),
        check_results=results,
        metadata={
            "dagster/row_count": stored.n_rows,
            "dagster/column_schema": dg.TableSchema(columns),
            "stage_seconds": round(took, 3),
            **{f"also read: {k}": v for k, v in stored.inputs.items() if k not in tables},
            **{f"option: {k}": str(v) for k, v in meta.params.items()},
            **{k: v for k, v in result.draft.stats.items() if isinstance(v, int | float | str)},
            **in_the_page(result.shown),
        },
    )


def in_the_page(shown: Mapping[str, Shown]) -> dict[str, Any]:
    """Return what a stage shows as Dagster's metadata; a picture that is kept as a file stands beside its path."""
    out: dict[str, Any] = {}
    for title, value in shown.items():
        out[title] = _metadata(value)
        if isinstance(value, Picture) and value.file is not None:
            out[f"{title}: file"] = dg.MetadataValue.path(str(value.file))
    return out


def _metadata(value: Shown) -> Any:
    if isinstance(value, Picture):
        return dg.MetadataValue.md(in_markdown(value.png, value.words))
    if isinstance(value, Markdown):
        return dg.MetadataValue.md(value)
    if isinstance(value, Path):
        return dg.MetadataValue.path(str(value))
    if isinstance(value, list):
        return dg.MetadataValue.table([dg.TableRecord(row) for row in value])
    return value


def _checked(check: Check, staged: Table, tables: Mapping[str, Table], context: StageContext) -> dg.AssetCheckResult:
    passed, why = check.run(staged, tables, context)
    severity = dg.AssetCheckSeverity.ERROR if check.blocks(context) else dg.AssetCheckSeverity.WARN
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
    return "; ".join(
        f"the check {check.name} does not hold ({', '.join(f'{k}: {v.value}' for k, v in result.metadata.items())})."
        for check, result in broken
    )
