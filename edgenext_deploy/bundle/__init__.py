"""The race's bundle: several graphs that compute the same, in one file that holds equal weights once."""
