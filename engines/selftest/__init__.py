"""A built engine's answer to the golden input."""
