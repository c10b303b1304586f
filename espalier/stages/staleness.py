"""Which stages of a dataset must run again: pure decisions on stored records, and on what a home holds."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from espalier.io.home import Home
from espalier.io.landing.zone import Listing
from espalier.io.results import manifest_folder
from espalier.io.warehouse import Meta
from espalier.stages.graph import CHAIN, HISTORY, MANIFEST, STAGES
from espalier.stages.options import StageOptions, in_full

Lookup = Callable[..., Meta | None]
"""Gives the stored record of a stage, ``lookup(name)``, or of an asset of another dataset, ``lookup(name, other)``."""


def why_stale(name: str, meta: Meta | None, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """Say why a partition has to be made again, every reason of it, or None when it is fresh.

    ``params`` and ``inputs`` are options and upstream data versions as they are now. What it was grown from (HISTORY)
    outdates nothing: that partition is gone.
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
) -> dict[str, str]:
    """Return the stages of a dataset that must run, each with its reason, in the graph's order.

    A stage below one that must run runs too. ``params`` gives the present options of a stage; ``listing`` is the
    present fingerprint of the landed files.
    """
    stale: dict[str, str] = {}
    for name in stages:
        above = [r for r in STAGES[name].reads if r in stale]
        if above:
            stale[name] = f"{above[0]} runs again"
            continue
        options = params(name)
        inputs = current_inputs(name, lookup, listing, STAGES[name].also_reads(options))
        reason = why_stale(name, lookup(name), options, inputs)
        if reason:
            stale[name] = reason
    return stale


def current_inputs(
    name: str, lookup: Lookup, listing: str, also_reads: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, str]:
    """Return the data version of each input of a stage as stored now, partitions of other datasets among them."""
    if not STAGES[name].reads:
        return {"listing": listing}
    metas = {r: lookup(r) for r in STAGES[name].reads}
    metas |= {label: lookup(*partition) for label, partition in (also_reads or {}).items()}
    return {r: m.data_version for r, m in metas.items() if m is not None}


class Staleness:
    """Staleness of one dataset in a home; records are read once.

    ``options`` take the place of the card's.
    """

    def __init__(self, home: Home, dataset: str, options: StageOptions | None = None) -> None:
        self.home, self.store, self.dataset = home, home.store(), dataset
        self._zone = home.zone()
        self.options = in_full(options or StageOptions.of_card(self._zone.card(dataset)), home.models)
        self._metas: dict[tuple[str, str, str], Meta | None] = {}

    @cached_property
    def listing(self) -> Listing:
        """The landed files as they are when it is first asked for."""
        return self._zone.fingerprint(self.dataset)

    def stages(self, up_to: tuple[str, ...] = CHAIN) -> dict[str, str]:
        """Return the chain's stages that must run, each with its reason, in the graph's order."""
        return stale_stages(self._meta, self._params, self.listing.fingerprint, up_to)

    def moved_references(self, name: str) -> dict[str, str]:
        """Return the present versions of other datasets' partitions that a stage reads, if they are not those it read.

        Empty, too, where the stage was never made, or one of those partitions is not there.
        """
        meta = self._meta(name)
        reads = STAGES[name].also_reads(self._params(name))
        now = {label: its.data_version for label, partition in reads.items() if (its := self._meta(*partition))}
        same = meta is None or len(now) < len(reads) or now.items() <= meta.inputs.items()
        return {} if same else now

    def grown(self) -> dict[str, str]:
        """Return the chain's stages whose rows depend on what they replaced, each with that data version."""
        metas = {name: self._meta(name) for name in CHAIN}
        return {name: meta.inputs[HISTORY] for name, meta in metas.items() if meta and HISTORY in meta.inputs}

    def manifest(self, asset: str, recipe: str = "") -> str | None:
        """Say why a partition of ``asset`` below the chain must be made again, or None. Assumes a fresh chain."""
        meta = self._meta(asset, recipe=recipe)

        def lookup(name: str) -> Meta | None:
            return self._meta(name, recipe=recipe if STAGES[name].per_recipe else "")

        if meta and asset == MANIFEST and not manifest_folder(self.home.manifests, self.dataset, recipe).exists():
            return "its folder is gone"
        inputs = current_inputs(asset, lookup, listing="")  # below the chain no stage reads the landed files
        return why_stale(asset, meta, self._params(asset), inputs)

    def _params(self, name: str) -> dict[str, Any]:
        return self.options.pick(STAGES[name].options)

    def _meta(self, name: str, dataset: str = "", recipe: str = "") -> Meta | None:
        key = (name, dataset or self.dataset, recipe)
        if key not in self._metas:
            table = self.store.get(*key)
            self._metas[key] = table.meta if table else None
        return self._metas[key]
