"""Find what looks like this: exact and approximate nearest samples by Hamming or cosine distance."""

from __future__ import annotations

from espalier.core.search.approximate import IndexReport
from espalier.core.search.explorer import Explorer, Hits, Part

__all__ = ["Explorer", "Hits", "IndexReport", "Part"]
