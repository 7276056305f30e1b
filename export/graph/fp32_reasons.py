"""Why some operators compute in FP32, in the words of reports and manifests."""

LAYER_NORM = "LayerNorm statistics: squares overflow beyond a deviation of 255"
SOFTMAX = "softmax: exponentials and their sum"
SIGMOID = "sigmoid: near 1, FP16 has steps of a two-thousandth"
