"""Dagster resources: primitive config in, plain objects of the library out. What these do stands in ``espalier``."""

from resources.compute import ComputeResource, ProgressResource
from resources.home import HomeResource
from resources.warehouse import WarehouseIOManager

__all__ = ["ComputeResource", "HomeResource", "ProgressResource", "WarehouseIOManager"]
