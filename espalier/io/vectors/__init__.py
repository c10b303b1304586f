"""Vectors beside the encoders: resumable parts, reuse, texts, and embeddings that the user brings."""
