"""EdgeNeXt on the device: manifest, preprocessing, sessions, and what an application calls.

``from edgenext_deploy import Classifier`` (or Detector, or Segmenter) is the whole interface of a camera app.
Importing this package loads neither numpy nor any runtime; the names below are imported when first used.
"""
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any, List

__version__ = "0.1.0"

_LAZY = {
    "Camera": "edgenext_deploy.camera",
    "Classifier": "edgenext_deploy.classifier",
    "DetectedObject": "edgenext_deploy.detector",
    "Detector": "edgenext_deploy.detector",
    "Prediction": "edgenext_deploy.classifier",
    "Segmentation": "edgenext_deploy.segmenter",
    "Segmenter": "edgenext_deploy.segmenter",
    "load_session": "edgenext_deploy.runtime",
    "open_network": "edgenext_deploy.tasks",
    "EdgeNextError": "edgenext_deploy.errors",
}
__all__ = [
    "Camera", "Classifier", "DetectedObject", "Detector", "EdgeNextError", "Prediction", "Segmentation", "Segmenter",
    "__version__", "load_session", "open_network"]

if TYPE_CHECKING:
    from edgenext_deploy.camera import Camera
    from edgenext_deploy.classifier import Classifier, Prediction
    from edgenext_deploy.detector import DetectedObject, Detector
    from edgenext_deploy.errors import EdgeNextError
    from edgenext_deploy.runtime import load_session
    from edgenext_deploy.segmenter import Segmentation, Segmenter
    from edgenext_deploy.tasks import open_network


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
