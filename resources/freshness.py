"""Is a stored partition still what its inputs, options and code would give? Pure decisions on records."""

from collections.abc import Callable, Mapping
from typing import Any

from resources.graph import CHAIN, STAGES
from resources.warehouse import Meta

Lookup = Callable[[str], Meta | None]


def why_stale(name: str, meta: Meta | None, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """Say why a partition has to be made again, or None when it is fresh.

    Parameters
    ----------
    name : str
        The stage.
    meta : Meta or None
        The stored record, None when nothing is stored.
    params, inputs : mapping
        Options and upstream data versions as they are now.
    """
    if meta is None:
        return "never made"
    if meta.code_version != STAGES[name].version:
        return f"code version {meta.code_version} is now {STAGES[name].version}"
    changed = sorted(k for k in params.keys() | meta.params.keys() if params.get(k) != meta.params.get(k))
    if changed:
        return f"options changed: {', '.join(changed)}"
    moved = sorted(k for k in inputs.keys() | meta.inputs.keys() if inputs.get(k) != meta.inputs.get(k))
    if moved:
        return f"inputs changed: {', '.join(moved)}"
    return None


def stale_stages(
    lookup: Lookup, params: Callable[[str], Mapping[str, Any]], listing: str, stages: tuple[str, ...] = CHAIN
) -> dict[str, str]:
    """Return the stages of a dataset that must run, each with its reason, in the graph's order.

    A stage below one that must run runs too.

    Parameters
    ----------
    lookup : callable
        Stored record of a stage, or None.
    params : callable
        Present options of a stage.
    listing : str
        Present fingerprint of the landed files.
    """
    stale: dict[str, str] = {}
    for name in stages:
        above = [r for r in STAGES[name].reads if r in stale]
        if above:
            stale[name] = f"{above[0]} runs again"
            continue
        reason = why_stale(name, lookup(name), params(name), current_inputs(name, lookup, listing))
        if reason:
            stale[name] = reason
    return stale


def current_inputs(name: str, lookup: Lookup, listing: str) -> dict[str, str]:
    """Return the data version of each input of a stage as stored now."""
    if not STAGES[name].reads:
        return {"listing": listing}
    metas = {r: lookup(r) for r in STAGES[name].reads}
    return {r: m.data_version for r, m in metas.items() if m is not None}
