"""Find what looks like this: exact and approximate nearest samples by Hamming or cosine distance."""

from __future__ import annotations

from espalier.explore.approximate import IndexReport
from espalier.explore.explorer import Explorer, Hits, Part

__all__ = ["Explorer", "Hits", "IndexReport", "Part"]
