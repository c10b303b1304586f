"""The warehouse: one immutable DuckDB file an asset partition, swapped in whole by a rename."""

from espalier.io.warehouse.draft import Draft, Meta
from espalier.io.warehouse.store import Piece, Staged, Warehouse
from espalier.io.warehouse.table import Table

__all__ = ["Draft", "Meta", "Piece", "Staged", "Table", "Warehouse"]
