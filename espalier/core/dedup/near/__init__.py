"""Exact and near duplicates of images: the gradient feature, the neighbour search, the groups."""

from __future__ import annotations

from espalier.core.dedup.near.duplicates import Duplicates, find_duplicates
from espalier.core.dedup.near.features import gradient_features, mirror_features
from espalier.core.dedup.near.threshold import DEFAULT_THRESHOLD, auto_threshold

__all__ = [
    "DEFAULT_THRESHOLD",
    "Duplicates",
    "auto_threshold",
    "find_duplicates",
    "gradient_features",
    "mirror_features",
]
