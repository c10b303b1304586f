"""``clusters``: spherical k-means over the samples that reach pruning."""

import numpy as np
import pyarrow as pa

from espalier.core.kmeans import auto_k, fit_kmeans
from espalier.core.rng import generator
from espalier.io.drawing import plots
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import array_column
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.loading import kept_matrix, labels_of


def run(context: StageContext, raw_dataset: Table, embeddings: Table, semantic_dedup_set: Table) -> StageResult:
    """Cluster the samples that reach pruning."""
    kept = semantic_dedup_set.column("kept")
    vectors = kept_matrix(embeddings, "vector", kept)
    ids = semantic_dedup_set.arrow(["sample_id"], where="kept").column(0)
    n_labels = len(labels_of(raw_dataset, semantic_dedup_set).names)
    k = context.options.k or auto_k(len(vectors), n_labels)
    with context.bar("clustering", 25) as advance:
        found = fit_kmeans(vectors, k, rng=generator(context.options.seed, "clusters"), progress=advance)
    rows = pa.table({"sample_id": ids, "cluster": pa.array(found.assignment), "distance": pa.array(found.distance)})
    centroids = pa.table(
        {"cluster": pa.array(np.arange(found.k, dtype=np.int32)), "centroid": array_column(found.centroids)}
    )
    size = np.bincount(found.assignment, minlength=found.k)
    return StageResult(
        Draft(
            rows,
            side={"centroids": centroids},
            stats={"k": found.k, "k_asked": found.k_asked, "n_total": len(rows), "mean_cosine": found.mean_cosine},
        ),
        shown={
            "rounds": found.n_iter,
            "converged": found.converged,
            "empty clusters repaired": found.n_repaired,
            "sizes": Picture(plots.cluster_sizes(size), "cluster sizes"),
        },
    )
