"""Pictures in and out: decoding, grids and digests of pixels; contact sheets and plots."""
