"""Exploring stored datasets: queries in words, pictures or ids; results as rows, a sheet and files. No Dagster."""

from resources.exploring.answer import Answer, Asked, Result
from resources.exploring.explored import Explored
from resources.exploring.queries import Query, read_query
from resources.exploring.save import check_folder, save, sheet

__all__ = ["Answer", "Asked", "Explored", "Query", "Result", "check_folder", "read_query", "save", "sheet"]
