"""From a photo or a camera frame to a network's input, on the processor and on the GPU."""
