"""The warehouse: one immutable DuckDB file an asset partition, swapped in whole by a rename."""

from resources.warehouse.draft import Draft, Meta
from resources.warehouse.store import Staged, Warehouse
from resources.warehouse.table import Table

__all__ = ["Draft", "Meta", "Staged", "Table", "Warehouse"]
