"""The asset graph: an asset a file, and beside them what they are made of: the frame, checks, partitions, loading."""
