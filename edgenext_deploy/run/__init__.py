"""The command edgenext-run."""
