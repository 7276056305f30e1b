"""The networks as published, in PyTorch, and the configs that describe them."""
