"""Reading what landed: every file once, in a process of its own, into the rows of ``raw_dataset``."""
