"""Which stages of a dataset must run again: the pure decision of ``freshness`` on what this home holds."""

from functools import cached_property

from resources.freshness import current_inputs, stale_stages, why_stale
from resources.graph import CHAIN, MANIFEST, STAGES
from resources.home import Home
from resources.landing.zone import LandingZone
from resources.options import Options
from resources.results.manifests import manifest_folder
from resources.warehouse import Meta


class Staleness:
    """Staleness of one dataset in a home; records are read once.

    ``options`` take the place of the card's.
    """

    def __init__(self, home: Home, dataset: str, options: Options | None = None) -> None:
        self.home, self.store, self.dataset = home, home.store(), dataset
        self._zone = LandingZone(home.landing)
        self.options = _in_full(options or Options.of_card(self._zone.card(dataset)), home)
        self._metas: dict[str, Meta | None] = {}

    @cached_property
    def listing(self) -> str:
        """Fingerprint of the landed files as they are when it is first asked for."""
        return self._zone.fingerprint(self.dataset).fingerprint

    def stages(self, up_to: tuple[str, ...] = CHAIN) -> dict[str, str]:
        """Return the chain's stages that must run, each with its reason, in the graph's order."""
        return stale_stages(self._meta, lambda name: self.options.pick(STAGES[name].options), self.listing, up_to)

    def manifest(self, asset: str, recipe: str = "") -> str | None:
        """Say why a partition of ``asset`` below the chain must be made again, or None. Assumes a fresh chain."""
        table = self.store.get(asset, self.dataset, recipe)
        stage = STAGES[asset]

        def lookup(name: str) -> Meta | None:
            if not STAGES[name].per_recipe:
                return self._meta(name)
            found = self.store.get(name, self.dataset, recipe)
            return found.meta if found else None

        if table and asset == MANIFEST and not manifest_folder(self.home.manifests, self.dataset, recipe).exists():
            return "its folder is gone"
        inputs = current_inputs(asset, lookup, listing="")  # below the chain no stage reads the landed files
        return why_stale(asset, table.meta if table else None, self.options.pick(stage.options), inputs)

    def _meta(self, name: str) -> Meta | None:
        if name not in self._metas:
            table = self.store.get(name, self.dataset)
            self._metas[name] = table.meta if table else None
        return self._metas[name]


def _in_full(options: Options, home: Home) -> Options:
    """Replace an encoder's name by what it stands for, as the runs do."""
    if options.encoder == "builtin":
        return options
    from resources.encoders.names import in_full  # encoders take a while to import, and few datasets name one

    return in_full(options, home.models)
