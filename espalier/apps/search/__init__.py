"""Exploring stored datasets: queries in words, pictures or ids; results as rows, a sheet and files. No Dagster."""

from espalier.apps.search.index import SearchIndex
from espalier.apps.search.messages import Result, SearchRequest, SearchResponse
from espalier.apps.search.queries import Query, read_query
from espalier.apps.search.save import check_folder, save, sheet

__all__ = [
    "Query",
    "Result",
    "SearchIndex",
    "SearchRequest",
    "SearchResponse",
    "check_folder",
    "read_query",
    "save",
    "sheet",
]
