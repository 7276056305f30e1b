"""An exported graph against the reference module and against TensorRT-RTX."""
