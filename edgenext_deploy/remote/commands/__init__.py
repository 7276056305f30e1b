"""The commands of ``edgenext-remote``."""
