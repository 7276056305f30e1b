"""Measuring from a program: one call, and a report that writes itself."""
