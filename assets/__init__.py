"""One file an asset: its checks, one call of its stage. What it reads and computes stands in espalier.stages."""
