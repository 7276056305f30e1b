"""The paper's tables next to measured rows."""
