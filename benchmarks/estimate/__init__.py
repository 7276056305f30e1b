"""Estimated latencies of hardware that is not here."""
