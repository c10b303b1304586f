"""Bytes and where they lie: listing a place, and reading a file, an object, a member or a cell."""
