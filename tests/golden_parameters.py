"""The recipe of tests/data/README.md: parameters and input that anyone can generate again."""
import math
import zlib

import numpy as np


def parameter(key, shape):
    rng = np.random.default_rng(zlib.crc32(("given-" + key).encode()))
    if key.endswith("num_batches_tracked"):
        return np.asarray(100, dtype=np.int64)
    if key.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        value = 0.1 * rng.standard_normal(shape)
    elif "gamma" in key:
        value = rng.uniform(0.05, 0.3, shape).astype(np.float32)
        value = np.where(rng.random(shape) < 0.5, -value, value)
    elif key.endswith("temperature"):
        value = rng.uniform(0.5, 4.0, shape)
    elif len(shape) == 1:
        value = 0.1 * rng.standard_normal(shape) + (1 if key.endswith("weight") else 0)
    else:
        value = rng.standard_normal(shape) * 1.5 / math.sqrt(math.prod(shape[1:]))
    return np.asarray(value, dtype=np.float32)


def parameters(shapes):
    return {key: parameter(key, tuple(shape)) for key, shape in shapes.items()}


def image(height, width, seed=11):
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:height, 0:width] / 32
    base = np.stack([np.sin(yy * (c + 1) + seed) + np.cos(xx * (c + 2)) for c in range(3)])
    return (base + 0.5 * rng.standard_normal((1, 3, height, width))).astype(np.float32)
