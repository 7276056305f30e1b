"""Latency: interleaved measurement of engines, its statistics, its records, and ``edgenext-bench``."""
