"""The warehouse: one immutable DuckDB file an asset partition, swapped in whole by a rename."""

from espalier.io.warehouse.store import Piece, Staged, Warehouse
from espalier.io.warehouse.table import Draft, Meta, Table

__all__ = ["Draft", "Meta", "Piece", "Staged", "Table", "Warehouse"]
