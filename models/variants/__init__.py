"""Which networks there are: families, variants by name, and their reference modules as built."""
