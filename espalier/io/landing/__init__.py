"""The landing zone: its cards, where datasets lie, and whether they changed."""
