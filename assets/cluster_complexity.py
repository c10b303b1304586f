"""``cluster_complexity``: how wide each cluster is and how far its neighbours are (arXiv 2401.04578)."""

import dagster as dg
import numpy as np
import pyarrow as pa

from assets.checks import members_add_up
from assets.loading import labels_of
from assets.stage import Outcome, Work, stage_asset
from espalier.complexity import cluster_complexity as measure
from espalier.complexity import extreme_rows, label_entropy
from resources.pictures import plots
from resources.warehouse import Draft, Table

EXTREMES = 5


@stage_asset("cluster_complexity", kinds={"numpy", "duckdb"}, checks=(members_add_up,))
def cluster_complexity(work: Work, raw_dataset: Table, clusters: Table) -> Outcome:
    """A row a cluster: size, d_intra, d_inter, complexity, label entropy, prototypical and hardest samples.

    d_intra is the mean cosine distance to the own centroid, d_inter that of the centroid to its nearest 20.
    """
    assignment, distance = clusters.column("cluster"), clusters.column("distance")
    found = measure(clusters.matrix("centroid", "centroids"), assignment, distance, work.options.n_neighbors)
    k = len(found.size)
    labels = labels_of(raw_dataset, clusters)
    ids = clusters.arrow(["sample_id"]).column(0).combine_chunks()

    def extremes(hardest: bool) -> pa.Array:
        indptr, rows = extreme_rows(assignment, distance, k, EXTREMES, hardest=hardest)
        return pa.ListArray.from_arrays(pa.array(indptr, pa.int32()), ids.take(pa.array(rows)))

    rows = pa.table(
        {
            "cluster": pa.array(np.arange(k, dtype=np.int32)),
            "size": pa.array(found.size),
            "d_intra": pa.array(found.d_intra),
            "d_inter": pa.array(found.d_inter),
            "complexity": pa.array(found.complexity),
            "label_entropy": pa.array(label_entropy(assignment, k, labels.indptr, labels.codes), from_pandas=True),
            "prototypical": extremes(hardest=False),
            "hardest": extremes(hardest=True),
        }
    )
    png = plots.complexity(found.d_intra, found.d_inter, found.size)
    return Outcome(
        Draft(rows, sort="cluster", stats={"k": k, "n_neighbors": found.n_neighbors}),
        metadata={"complexity": dg.MetadataValue.md(plots.markdown(png, "d_intra over d_inter"))},
    )
