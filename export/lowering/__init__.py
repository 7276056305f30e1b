"""The lowering: the published function rewritten for inference at one input size, one rule at a time."""
