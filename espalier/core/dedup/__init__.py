"""Duplicates: ``near`` (pictures), ``semantic`` (SemDeDup, embeddings), ``ndr`` (Datumaro's), ``pairs`` (shared)."""
