"""The outside world: files, formats, images, encoders, landing zone, warehouse. Knows the algorithms, no stage."""
