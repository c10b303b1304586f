"""The landing zone: its cards, what has changed, and the scan that turns samples into rows."""
