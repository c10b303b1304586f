"""Pictures as pixels: decoding, the grid of near duplicates, digests of pixels."""
