"""A report of measured rows as text: terminal, CSV, Markdown."""
