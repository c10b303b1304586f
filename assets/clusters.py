"""``clusters``: spherical k-means over the samples that reach pruning."""

import dagster as dg
import numpy as np
import pyarrow as pa

from assets.checks import clusters_not_empty, ids_known
from assets.loading import kept_matrix, labels_of
from assets.stage import Outcome, Work, stage_asset
from espalier.cluster import auto_k, fit_kmeans
from espalier.rng import generator
from resources.pictures import plots
from resources.warehouse import Draft, Table
from resources.warehouse.table import array_column


@stage_asset("clusters", kinds={"numpy", "duckdb"}, checks=(ids_known, clusters_not_empty))
def clusters(work: Work, raw_dataset: Table, embeddings: Table, semantic_dedup_set: Table) -> Outcome:
    """The cluster of every sample that reaches pruning, and its cosine distance to the centroid.

    Spherical k-means from seeded k-means++ starts, every row trained on. ``k`` 0 takes the number of labels, or a
    rule for unlabelled data (docs/methods.md).
    """
    kept = semantic_dedup_set.column("kept")
    vectors = kept_matrix(embeddings, "vector", kept)
    ids = semantic_dedup_set.arrow(["sample_id"], where="kept").column(0)
    n_labels = len(labels_of(raw_dataset, semantic_dedup_set).names)
    k = work.options.k or auto_k(len(vectors), n_labels)
    with work.bar("clustering", 25) as advance:
        found = fit_kmeans(vectors, k, rng=generator(work.options.seed, "clusters"), progress=advance)
    rows = pa.table({"sample_id": ids, "cluster": pa.array(found.assignment), "distance": pa.array(found.distance)})
    centroids = pa.table(
        {"cluster": pa.array(np.arange(found.k, dtype=np.int32)), "centroid": array_column(found.centroids)}
    )
    size = np.bincount(found.assignment, minlength=found.k)
    return Outcome(
        Draft(
            rows,
            side={"centroids": centroids},
            stats={"k": found.k, "k_asked": found.k_asked, "n_total": len(rows), "mean_cosine": found.mean_cosine},
        ),
        metadata={
            "rounds": found.n_iter,
            "converged": found.converged,
            "empty clusters repaired": found.n_repaired,
            "sizes": dg.MetadataValue.md(plots.markdown(plots.cluster_sizes(size), "cluster sizes")),
        },
    )
