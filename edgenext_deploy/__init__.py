"""EdgeNeXt on the device: manifest, preprocessing, sessions, and what an application calls.

``from edgenext_deploy import Classifier`` (or Detector, or Segmenter) is the whole interface of a camera app.
Importing this package loads neither numpy nor any runtime; the names below are imported when first used.
"""
from edgenext_deploy.lazy_names import lazy_names
from edgenext_deploy.version import __version__

TYPE_CHECKING = False  # of `typing`, whose import takes longer than this package's
if TYPE_CHECKING:

    from edgenext_deploy.camera.open import register_source
    from edgenext_deploy.camera.reader import Camera, Frame
    from edgenext_deploy.camera.source import FrameSource, SourceLostError
    from edgenext_deploy.errors import (
        BadInputError,
        EdgeNextError,
        IncompatibleError,
        MissingRuntimeError,
        UsageError,
        VerificationError,
    )
    from edgenext_deploy.networks.classifier import Classifier, Prediction
    from edgenext_deploy.networks.detector import DetectedObject, Detector
    from edgenext_deploy.networks.feature_extractor import FeatureExtractor
    from edgenext_deploy.networks.open import open_network
    from edgenext_deploy.networks.segmenter import ClassShare, Segmentation, Segmenter
    from edgenext_deploy.networks.stream import CallTimings, StreamResult, StreamTimings
    from edgenext_deploy.remote.board import Board
    from edgenext_deploy.remote.board_work import BoardMeasurement, BoardPlan
    from edgenext_deploy.run.serving import serve
    from edgenext_deploy.runtime.open import load_session, open_session
    from edgenext_deploy.runtime.options import RuntimeOptions
    from edgenext_deploy.runtime.session import Session, SessionTimings
    from edgenext_deploy.runtime.table import register_runtime

__all__ = [
    "BadInputError", "Board", "BoardMeasurement", "BoardPlan", "CallTimings", "Camera", "ClassShare", "Classifier",
    "DetectedObject", "Detector", "EdgeNextError", "FeatureExtractor", "Frame", "FrameSource", "IncompatibleError",
    "MissingRuntimeError", "Prediction", "RuntimeOptions", "Segmentation", "Segmenter", "Session", "SessionTimings",
    "SourceLostError", "StreamResult", "StreamTimings", "UsageError", "VerificationError", "__version__",
    "load_session", "open_network", "open_session", "register_runtime", "register_source", "serve"]

lazy_names(__name__, {
    "BadInputError": "edgenext_deploy.errors",
    "Board": "edgenext_deploy.remote.board",
    "BoardMeasurement": "edgenext_deploy.remote.board_work",
    "BoardPlan": "edgenext_deploy.remote.board_work",
    "CallTimings": "edgenext_deploy.networks.stream",
    "Camera": "edgenext_deploy.camera.reader",
    "ClassShare": "edgenext_deploy.networks.segmenter",
    "Classifier": "edgenext_deploy.networks.classifier",
    "DetectedObject": "edgenext_deploy.networks.detector",
    "Detector": "edgenext_deploy.networks.detector",
    "EdgeNextError": "edgenext_deploy.errors",
    "FeatureExtractor": "edgenext_deploy.networks.feature_extractor",
    "Frame": "edgenext_deploy.camera.reader",
    "FrameSource": "edgenext_deploy.camera.source",
    "IncompatibleError": "edgenext_deploy.errors",
    "MissingRuntimeError": "edgenext_deploy.errors",
    "Prediction": "edgenext_deploy.networks.classifier",
    "RuntimeOptions": "edgenext_deploy.runtime.options",
    "Segmentation": "edgenext_deploy.networks.segmenter",
    "Segmenter": "edgenext_deploy.networks.segmenter",
    "Session": "edgenext_deploy.runtime.session",
    "SessionTimings": "edgenext_deploy.runtime.session",
    "SourceLostError": "edgenext_deploy.camera.source",
    "StreamResult": "edgenext_deploy.networks.stream",
    "StreamTimings": "edgenext_deploy.networks.stream",
    "UsageError": "edgenext_deploy.errors",
    "VerificationError": "edgenext_deploy.errors",
    "load_session": "edgenext_deploy.runtime.open",
    "open_network": "edgenext_deploy.networks.open",
    "open_session": "edgenext_deploy.runtime.open",
    "register_runtime": "edgenext_deploy.runtime.table",
    "register_source": "edgenext_deploy.camera.open",
    "serve": "edgenext_deploy.run.serving",
})
