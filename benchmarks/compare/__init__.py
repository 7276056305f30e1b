"""Rows of several reports, compared where they are comparable."""
