"""Jobs: what a sensor, a schedule, the UI or the command line launches."""

from typing import Any

import dagster as dg

from assets.explore_job import explore
from espalier.stages.graph import CHAIN, COMPARISON, EXPORT, MANIFEST, QUALITY

land = dg.define_asset_job(
    "land", selection=["raw_dataset"], description="Read what landed; the rest follows by itself."
)
chain = dg.define_asset_job("chain", selection=list(CHAIN), description="All stages of a dataset, up to its clusters.")
duplicates = dg.define_asset_job(
    "duplicates", selection=["dedup_set"], description="Compare a dataset again; the rest follows by itself."
)
manifests = dg.define_asset_job("manifests", selection=[MANIFEST], description="One dataset pruned by one recipe.")
qualities = dg.define_asset_job("qualities", selection=[QUALITY], description="One manifest beside random of its size.")
comparisons = dg.define_asset_job("comparisons", selection=[COMPARISON], description="Methods beside random.")
exports = dg.define_asset_job("exports", selection=[EXPORT], description="One subset written out as a dataset.")

all_jobs: list[Any] = [land, chain, duplicates, manifests, qualities, comparisons, exports, explore]
