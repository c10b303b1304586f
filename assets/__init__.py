"""One file an asset: what it reads, its checks, one call of its stage. What a stage computes is in espalier.stages."""
