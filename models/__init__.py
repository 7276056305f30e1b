"""PyTorch definitions, variant registry, checkpoint loading and counts. Importing this loads no torch."""
