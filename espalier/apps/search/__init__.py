"""Exploring stored datasets: queries in words, pictures or ids; results as rows, a sheet and files. No Dagster."""

from espalier.apps.search.index import Explored
from espalier.apps.search.messages import Answer, Asked, Result
from espalier.apps.search.queries import Query, read_query
from espalier.apps.search.save import check_folder, save, sheet

__all__ = ["Answer", "Asked", "Explored", "Query", "Result", "check_folder", "read_query", "save", "sheet"]
