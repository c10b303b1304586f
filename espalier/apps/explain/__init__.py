"""What became of samples, in words, lists and pictures; duplicates asked about outside the stages."""
