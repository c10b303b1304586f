"""Embeddings that the user brings: what names them, their files as shards, their alignment with the samples."""
