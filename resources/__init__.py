"""The outside world: storage, datasets, encoders, pictures. Knows the pure floor, nothing above."""
