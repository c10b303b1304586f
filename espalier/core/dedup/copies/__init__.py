"""Real copies of pictures, shifted, cropped, squeezed or mirrored: proposed by layout, aligned, and compared."""

from __future__ import annotations

from espalier.core.dedup.copies.find import SIDE, THRESHOLD, Found, find_copies
from espalier.core.dedup.copies.threshold import auto_threshold
from espalier.core.dedup.copies.verify import Verified

__all__ = ["SIDE", "THRESHOLD", "Found", "Verified", "auto_threshold", "find_copies"]
