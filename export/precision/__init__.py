"""Which nodes compute in FP16 and which in FP32, and the two ways to say so: pins by name, or a typed graph."""
