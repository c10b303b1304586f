"""Is a stored partition still what its inputs, options and code would give? Pure decisions on records."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from espalier.io.warehouse import Meta
from espalier.stages.graph import CHAIN, HISTORY, STAGES

Lookup = Callable[[str], Meta | None]
Elsewhere = Callable[[str, str], Meta | None]


def _nowhere(asset: str, dataset: str) -> None:
    """Know no partition of any other dataset."""


def why_stale(name: str, meta: Meta | None, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """Say why a partition has to be made again, every reason of it, or None when it is fresh.

    What it was grown from (HISTORY) outdates nothing: that partition is gone.

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
    reasons = []
    if meta.code_version != STAGES[name].version:
        reasons.append(f"code version {meta.code_version} is now {STAGES[name].version}")
    for what, now, then in (("options", params, meta.params), ("inputs", inputs, meta.inputs)):
        changed = sorted(k for k in (now.keys() | then.keys()) - {HISTORY} if now.get(k) != then.get(k))
        if changed:
            reasons.append(f"{what} changed: {', '.join(changed)}")
    return "; ".join(reasons) or None


def stale_stages(
    lookup: Lookup,
    params: Callable[[str], Mapping[str, Any]],
    listing: str,
    stages: tuple[str, ...] = CHAIN,
    elsewhere: Elsewhere = _nowhere,
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
    elsewhere : callable
        Stored record of an asset of another dataset, or None.
    """
    stale: dict[str, str] = {}
    for name in stages:
        above = [r for r in STAGES[name].reads if r in stale]
        if above:
            stale[name] = f"{above[0]} runs again"
            continue
        options = params(name)
        inputs = current_inputs(name, lookup, listing, STAGES[name].also_reads(options), elsewhere)
        reason = why_stale(name, lookup(name), options, inputs)
        if reason:
            stale[name] = reason
    return stale


def current_inputs(
    name: str,
    lookup: Lookup,
    listing: str,
    also_reads: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    elsewhere: Elsewhere = _nowhere,
) -> dict[str, str]:
    """Return the data version of each input of a stage as stored now, partitions of other datasets among them."""
    if not STAGES[name].reads:
        return {"listing": listing}
    metas = {r: lookup(r) for r in STAGES[name].reads}
    metas |= {label: elsewhere(*partition) for label, partition in also_reads.items()}
    return {r: m.data_version for r, m in metas.items() if m is not None}
