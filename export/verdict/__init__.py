"""Which TensorRT releases can run an ONNX file, and why not."""
