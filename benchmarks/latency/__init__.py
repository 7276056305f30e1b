"""Interleaved latency measurements, from engine files to rows."""
