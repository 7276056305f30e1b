"""EdgeNeXt on the device: manifest, preprocessing, sessions, and what an application calls.

``from edgenext_deploy import Classifier`` (or Detector, or Segmenter) is the whole interface of a camera app.
Importing this package loads neither numpy nor any runtime; the names below are imported when first used.
"""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names
from edgenext_deploy.version import __version__

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.errors import EdgeNextError
    from edgenext_deploy.networks.classifier import Classifier, Prediction
    from edgenext_deploy.networks.detector import DetectedObject, Detector
    from edgenext_deploy.networks.open import open_network
    from edgenext_deploy.networks.segmenter import Segmentation, Segmenter
    from edgenext_deploy.runtime.open import load_session

__all__ = [
    "Camera", "Classifier", "DetectedObject", "Detector", "EdgeNextError", "Prediction", "Segmentation", "Segmenter",
    "__version__", "load_session", "open_network"]

lazy_names(__name__, {
    "Camera": "edgenext_deploy.camera.reader",
    "Classifier": "edgenext_deploy.networks.classifier",
    "DetectedObject": "edgenext_deploy.networks.detector",
    "Detector": "edgenext_deploy.networks.detector",
    "EdgeNextError": "edgenext_deploy.errors",
    "Prediction": "edgenext_deploy.networks.classifier",
    "Segmentation": "edgenext_deploy.networks.segmenter",
    "Segmenter": "edgenext_deploy.networks.segmenter",
    "load_session": "edgenext_deploy.runtime.open",
    "open_network": "edgenext_deploy.networks.open",
})
