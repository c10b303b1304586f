"""The asset graph: one stage a file. An asset reads tables, calls the pure floor once, and reports."""
