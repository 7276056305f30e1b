"""Where the time of an inference goes, layer by layer."""
