"""Espalier's pure library: arrays in, arrays out.

Here live the algorithms (clusters, complexity, duplicates, quotas, prune methods). Nothing here knows
Dagster, DuckDB, OpenVINO, files (but ``manifest``), the clock or a global random state; those live on the
floors above.
"""

__version__ = "0.1.0"
