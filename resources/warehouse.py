"""The warehouse as an IO manager: assets see tables, not paths."""

from collections.abc import Iterable

import dagster as dg

from espalier.io.warehouse import Piece, Staged, Table
from resources.home import HomeResource


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Hands tables from asset to asset; swaps in what an asset staged, if its blocking checks passed."""

    home: dg.ResourceDependency[HomeResource]

    def handle_output(self, context: dg.OutputContext, obj: Iterable[Piece]) -> None:
        """Commit the staged pieces in order, the table last: it is what says that a partition is there."""
        for piece in obj:
            if isinstance(piece, Staged):
                context.log.debug(f"storing {piece.target.name}")
            piece.commit()

    def load_input(self, context: dg.InputContext) -> Table:
        """Return the upstream partition as a read-only Table."""
        key = context.asset_partition_key
        parts = key.keys_by_dimension if isinstance(key, dg.MultiPartitionKey) else {"dataset": key}
        return self.home.open().store().need(context.asset_key.path[-1], **parts)
