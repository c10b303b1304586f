"""Find what looks like this: exact and approximate nearest samples by Hamming or cosine distance."""
