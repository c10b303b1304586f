"""Which stages of a dataset must run again: the pure decision of ``freshness`` on what this home holds."""

from functools import cached_property

from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.io.results.manifests import manifest_folder
from espalier.io.warehouse import Meta
from espalier.stages.freshness import current_inputs, stale_stages, why_stale
from espalier.stages.graph import CHAIN, HISTORY, MANIFEST, STAGES
from espalier.stages.options import Options, in_full


class Staleness:
    """Staleness of one dataset in a home; records are read once.

    ``options`` take the place of the card's.
    """

    def __init__(self, home: Home, dataset: str, options: Options | None = None) -> None:
        self.home, self.store, self.dataset = home, home.store(), dataset
        self._zone = LandingZone(home.landing)
        self.options = in_full(options or Options.of_card(self._zone.card(dataset)), home.models)
        self._metas: dict[tuple[str, str], Meta | None] = {}

    @cached_property
    def listing(self) -> str:
        """Fingerprint of the landed files as they are when it is first asked for."""
        return self._zone.fingerprint(self.dataset).fingerprint

    def stages(self, up_to: tuple[str, ...] = CHAIN) -> dict[str, str]:
        """Return the chain's stages that must run, each with its reason, in the graph's order."""
        options = lambda name: self.options.pick(STAGES[name].options)  # noqa: E731
        return stale_stages(self._own, options, self.listing, up_to, self._meta)

    def moved_references(self, name: str) -> dict[str, str]:
        """Return the present versions of other datasets' partitions that a stage reads, if they are not those it read.

        Empty, too, where the stage was never made, or one of those partitions is not there.
        """
        meta = self._own(name)
        reads = STAGES[name].also_reads(self.options.pick(STAGES[name].options))
        now = {label: found.data_version for label, partition in reads.items() if (found := self._meta(*partition))}
        same = meta is None or len(now) < len(reads) or now.items() <= meta.inputs.items()
        return {} if same else now

    def grown(self) -> dict[str, str]:
        """Return the chain's stages whose rows depend on what they replaced, each with that data version."""
        metas = {name: self._own(name) for name in CHAIN}
        return {name: meta.inputs[HISTORY] for name, meta in metas.items() if meta and HISTORY in meta.inputs}

    def manifest(self, asset: str, recipe: str = "") -> str | None:
        """Say why a partition of ``asset`` below the chain must be made again, or None. Assumes a fresh chain."""
        table = self.store.get(asset, self.dataset, recipe)
        stage = STAGES[asset]

        def lookup(name: str) -> Meta | None:
            if not STAGES[name].per_recipe:
                return self._own(name)
            found = self.store.get(name, self.dataset, recipe)
            return found.meta if found else None

        if table and asset == MANIFEST and not manifest_folder(self.home.manifests, self.dataset, recipe).exists():
            return "its folder is gone"
        inputs = current_inputs(asset, lookup, listing="")  # below the chain no stage reads the landed files
        return why_stale(asset, table.meta if table else None, self.options.pick(stage.options), inputs)

    def _own(self, name: str) -> Meta | None:
        return self._meta(name, self.dataset)

    def _meta(self, name: str, dataset: str) -> Meta | None:
        if (name, dataset) not in self._metas:
            table = self.store.get(name, dataset)
            self._metas[name, dataset] = table.meta if table else None
        return self._metas[name, dataset]
