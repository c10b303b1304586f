"""The pipeline as plain functions: the graph as data, its options, what is stale, and one module a stage."""
