"""Charts of a report, as SVG and PNG."""
