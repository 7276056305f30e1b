"""Sessions: an engine file, opened, that turns arrays into arrays."""
