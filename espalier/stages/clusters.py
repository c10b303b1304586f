"""``clusters``: spherical k-means over the samples that reach pruning."""

import numpy as np
import pyarrow as pa

from espalier.core.kmeans import auto_k, fit_kmeans
from espalier.core.rng import generator
from espalier.io.drawing import plots
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import centroid_table
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.loading import labels_of


def run(context: StageContext, raw_dataset: Table, embeddings: Table, semantic_dedup_set: Table) -> StageResult:
    """Cluster the samples that reach pruning."""
    kept = semantic_dedup_set.column("kept")
    vectors = embeddings.matrix("vector", rows=kept)
    ids = semantic_dedup_set.arrow(["sample_id"], where="kept").column(0)
    n_labels = len(labels_of(raw_dataset, semantic_dedup_set).names)
    k = context.options.k or auto_k(len(vectors), n_labels)
    with context.bar("clustering", 25) as advance:
        kmeans = fit_kmeans(vectors, k, rng=generator(context.options.seed, "clusters"), progress=advance)
    rows = pa.table({"sample_id": ids, "cluster": pa.array(kmeans.assignment), "distance": pa.array(kmeans.distance)})
    size = np.bincount(kmeans.assignment, minlength=kmeans.k)
    return StageResult(
        Draft(
            rows,
            side={"centroids": centroid_table(kmeans.centroids)},
            stats={"k": kmeans.k, "k_asked": kmeans.k_asked, "n_total": len(rows), "mean_cosine": kmeans.mean_cosine},
        ),
        shown={
            "rounds": kmeans.n_iter,
            "converged": kmeans.converged,
            "empty clusters repaired": kmeans.n_repaired,
            "sizes": Picture(plots.cluster_sizes(size), "cluster sizes"),
        },
    )
