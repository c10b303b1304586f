"""Exact and near duplicates of images: the gradient feature, the neighbour search, the groups."""

from __future__ import annotations

from espalier.core.dedup.near.duplicates import Duplicates, find_duplicates
from espalier.core.dedup.near.features import DEFAULT_THRESHOLD, auto_threshold, gradient_features, mirror_features

__all__ = [
    "DEFAULT_THRESHOLD",
    "Duplicates",
    "auto_threshold",
    "find_duplicates",
    "gradient_features",
    "mirror_features",
]
