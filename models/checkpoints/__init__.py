"""Weights files: fetched, read without running code, searched for parameters, and checked against a variant."""
