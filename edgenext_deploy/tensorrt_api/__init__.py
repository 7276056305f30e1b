"""TensorRT's Python API: what differs between its releases."""
