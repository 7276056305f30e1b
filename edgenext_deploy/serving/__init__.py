"""Files for programs of others that serve an engine: NVIDIA's DeepStream and Triton."""
