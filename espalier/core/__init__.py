"""The algorithms: arrays in, arrays out. No files, no clock, no global random state, no database."""
