"""``cluster_complexity``: how wide each cluster is and how far its neighbours are (arXiv 2401.04578)."""

import numpy as np
import pyarrow as pa

from espalier.core.complexity import cluster_complexity as measure
from espalier.core.complexity import extreme_rows, label_entropy
from espalier.io.drawing import plots
from espalier.io.warehouse import Draft, Table
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.loading import labels_of

EXTREMES = 5


def run(context: StageContext, raw_dataset: Table, clusters: Table) -> StageResult:
    """Measure how wide each cluster is and how far its neighbours are."""
    assignment, distance = clusters.column("cluster"), clusters.column("distance")
    measured = measure(clusters.matrix("centroid", "centroids"), assignment, distance, context.options.n_neighbors)
    k = len(measured.size)
    labels = labels_of(raw_dataset, clusters)
    ids = clusters.arrow(["sample_id"]).column(0).combine_chunks()

    def extremes(hardest: bool) -> pa.Array:
        indptr, rows = extreme_rows(assignment, distance, k, EXTREMES, hardest=hardest)
        return pa.ListArray.from_arrays(pa.array(indptr, pa.int32()), ids.take(pa.array(rows)))

    rows = pa.table(
        {
            "cluster": pa.array(np.arange(k, dtype=np.int32)),
            "size": pa.array(measured.size),
            "d_intra": pa.array(measured.d_intra),
            "d_inter": pa.array(measured.d_inter),
            "complexity": pa.array(measured.complexity),
            "label_entropy": pa.array(label_entropy(assignment, k, labels.indptr, labels.codes), from_pandas=True),
            "prototypical": extremes(hardest=False),
            "hardest": extremes(hardest=True),
        }
    )
    png = plots.complexity(measured.d_intra, measured.d_inter, measured.size)
    return StageResult(
        Draft(rows, sort="cluster", stats={"k": k, "n_neighbors": measured.n_neighbors}),
        shown={"complexity": Picture(png, "d_intra over d_inter")},
    )
