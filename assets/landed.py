"""``landed``: the data as it lies in the landing zone. Nothing here makes it; who looks at it reports what it saw."""

import dagster as dg

from assets.frame import OWNERS
from assets.partitions import datasets
from espalier.io.landing.zone import Listing

landed = dg.AssetSpec(
    "landed",
    description="What users put into the landing zone: a folder, an archive, or a card that says where the data is.",
    group_name="landing",
    kinds={"file"},
    owners=OWNERS,
    tags={"espalier/per": "dataset", "espalier/starts": "outside"},
    partitions_def=datasets,
)


def observed(dataset: str, listing: Listing) -> dg.AssetObservation:
    """Return the report of one look at a dataset's files; its data version is the fingerprint of their listing."""
    return dg.AssetObservation(
        landed.key,
        partition=dataset,
        metadata={"files": listing.n_files, "bytes": listing.n_bytes},
        tags={"dagster/data_version": listing.fingerprint},
    )
