"""ONNX graphs: built, simplified, extended."""
