"""Networks from anywhere: an ONNX file becomes an export like ours, with a manifest that everything else reads."""
