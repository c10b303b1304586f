"""Readers of dataset formats: each streams batches of samples, none decodes a picture."""
