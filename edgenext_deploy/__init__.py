"""EdgeNeXt on the device: manifest, preprocessing, sessions, and what an application calls.

``from edgenext_deploy import Classifier`` (or Detector, or Segmenter) is the whole interface of a camera app.
Importing this package loads neither numpy nor any runtime; the names below are imported when first used.
"""
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any, List

from edgenext_deploy.version import __version__

_LAZY = {
    "Camera": "edgenext_deploy.camera.reader",
    "Classifier": "edgenext_deploy.networks.classifier",
    "DetectedObject": "edgenext_deploy.networks.detector",
    "Detector": "edgenext_deploy.networks.detector",
    "Prediction": "edgenext_deploy.networks.classifier",
    "Segmentation": "edgenext_deploy.networks.segmenter",
    "Segmenter": "edgenext_deploy.networks.segmenter",
    "load_session": "edgenext_deploy.runtime.open",
    "open_network": "edgenext_deploy.networks.open",
    "EdgeNextError": "edgenext_deploy.errors",
}
__all__ = [
    "Camera", "Classifier", "DetectedObject", "Detector", "EdgeNextError", "Prediction", "Segmentation", "Segmenter",
    "__version__", "load_session", "open_network"]

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.errors import EdgeNextError
    from edgenext_deploy.networks.classifier import Classifier, Prediction
    from edgenext_deploy.networks.detector import DetectedObject, Detector
    from edgenext_deploy.networks.open import open_network
    from edgenext_deploy.networks.segmenter import Segmentation, Segmenter
    from edgenext_deploy.runtime.open import load_session


class _LazyModule(types.ModuleType):
    """A module whose public names are imported on first use (PEP 562 needs Python 3.7)."""

    def __getattr__(self, name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError("module 'edgenext_deploy' has no attribute {!r}".format(name))
        value = getattr(importlib.import_module(_LAZY[name]), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> List[str]:
        return sorted(set(super().__dir__()) | set(_LAZY))


sys.modules[__name__].__class__ = _LazyModule
