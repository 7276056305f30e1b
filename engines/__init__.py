"""From an ONNX file to a TensorRT plan. Nothing here yet: the builder comes with its own issue."""
