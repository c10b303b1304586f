"""Espalier prunes datasets: the library under the Dagster project, which never imports Dagster (``cli`` apart).

Floors, each knows only those below it: ``core`` (arrays in, arrays out), ``io`` (the outside world), ``stages`` (the
pipeline as plain functions), ``apps`` (what is no stage: search, explanations, NDR), ``cli`` (the command, which
launches the assets). ``manifest`` stands apart: training code imports it to read what a subset keeps.
"""

__version__ = "0.1.0"
