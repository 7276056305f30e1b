"""The race on processors, and the heats of every race."""
