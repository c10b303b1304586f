"""Clusters of unit vectors: spherical k-means, exact assignment, the rule for ``k``.

Arrays in, arrays out. What is made of the clusters (complexity, quotas, prune methods) lives beside this
package.
"""

from __future__ import annotations

from espalier.cluster.auto_k import auto_k
from espalier.cluster.kmeans import fit_kmeans
from espalier.cluster.search import assign
from espalier.cluster.types import KMeansResult

__all__ = ["KMeansResult", "assign", "auto_k", "fit_kmeans"]
