"""The feature extractor: a frame in, the embedding in front of a classifier's last layer out."""
from typing import Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.networks.base import Network, require_finite, shown_outputs


class FeatureExtractor(Network[np.ndarray]):
    """A classifier exported with ``--outputs features``, ready for photos and camera frames.

    ::

        with FeatureExtractor("xxs.onnx") as embed:
            one, other = embed(["a.jpg", "b.jpg"])
            similarity = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))

    A call returns the embedding, float32 `[C]`, not normalised: for C see ``manifest.outputs``. There are no classes,
    so `labels` is empty. Arguments: see `Network`, also for what they raise.
    """

    task = "features"

    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        if len(outputs) != 1 or len(outputs[0].shape) != 2 or not outputs[0].dtype.startswith("float"):
            raise BadInputError("{} is not a feature extractor: one output [1, features] expected, found {}".format(
                path, shown_outputs(outputs)), "export again with edgenext-export --outputs features")
        return 0

    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> np.ndarray:
        features: np.ndarray = outputs[0][0].astype(np.float32)
        require_finite(features)
        return features
