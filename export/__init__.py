"""From a reference module to a checked ONNX file: lowering, emission, verdicts, parity. Loads no torch."""
