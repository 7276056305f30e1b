"""A report as a self-contained HTML page."""
