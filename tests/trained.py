"""Two trained networks and the images they were trained for; see tests/data/README.md for both.

The networks are narrow EdgeNeXts for the ten handwritten digits. Their names are no part of the registry: they
are known only inside `registered`.
"""
import contextlib
from pathlib import Path
from unittest import mock

import numpy as np
import paths

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.models.variants.registry import VARIANTS, EdgeNeXtConfig, Variant
from edgenext_deploy.preprocess.photo import preprocess

DATA = Path(paths.DATA)
CLASSES = 10
SIZE = 64
HELD_OUT = 896  # of 1797 images: half of them, and full batches of 128
_SPLIT_SEED = 0
_MEAN = _STD = (0.5, 0.5, 0.5)


def _variant(name, norm):
    # Few conv encoders and a large initial layer scale: with the published 1e-6, so short a training leaves the
    # attention almost unused, and a network without it would pass for the whole.
    config = EdgeNeXtConfig(
        dims=(12, 20, 28, 32), depths=(1, 1, 2, 2), heads=(4, 4, 4, 4), norm=norm, layer_scale=0.1)
    return Variant(name, config, _MEAN, _STD, 1.0, ())


TRAINED = {variant.name: variant for variant in (_variant("digits", "layer"), _variant("digits_bn_hs", "batch"))}
PREPROCESSING = Preprocessing(SIZE, SIZE, 1.0, "bicubic", _MEAN, _STD, False)


@contextlib.contextmanager
def registered():
    """Make the registry know the trained variants."""
    with mock.patch.dict(VARIANTS, TRAINED):
        yield


def weights_file(name):
    """Return the path of a trained variant's weights, in the official key layout."""
    return str(DATA / (name + ".safetensors"))


def digits():
    """Return (images, labels) of the training half and (images, labels) of the held-out half.

    Images are uint8 `[N, 8, 8]`, 0 for paper and 255 for ink; labels are int64 `[N]`.
    """
    with np.load(str(DATA / "digits.npz")) as data:
        images = (data["images"].astype(np.uint16) * 255 // 16).astype(np.uint8)
        labels = data["labels"].astype(np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(images))
    training, held_out = order[:-HELD_OUT], order[-HELD_OUT:]
    return (images[training], labels[training]), (images[held_out], labels[held_out])


def network_inputs(images):
    """Return images as the networks take them, preprocessed as photos are: float32 `[N, 3, 64, 64]`."""
    return np.concatenate([preprocess(image, PREPROCESSING) for image in images])
