"""The warehouse: one immutable DuckDB file an asset partition, swapped in whole by a rename."""

from resources.warehouse.draft import Draft, Meta
from resources.warehouse.store import Piece, Staged, Warehouse
from resources.warehouse.table import Table

__all__ = ["Draft", "Meta", "Piece", "Staged", "Table", "Warehouse"]
