"""Clusters of unit vectors: spherical k-means, exact assignment, the rule for ``k``."""

from __future__ import annotations

from espalier.core.kmeans.fit import KMeansResult, auto_k, fit_kmeans
from espalier.core.kmeans.search import assign

__all__ = ["KMeansResult", "assign", "auto_k", "fit_kmeans"]
