"""From a network to a checked ONNX file: lowering, emission, verdicts, parity.

``export_onnx`` exports, ``check_onnx`` judges any ONNX file. Importing this loads no torch; the names below are
imported when first used.
"""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgenext_deploy.export.api import export_onnx
    from edgenext_deploy.export.request import ExportRequest
    from edgenext_deploy.export.result import ExportResult
    from edgenext_deploy.export.verdict.check import Verdicts, check_onnx

__all__ = ["ExportRequest", "ExportResult", "Verdicts", "check_onnx", "export_onnx"]

lazy_names(__name__, {
    "ExportRequest": "edgenext_deploy.export.request",
    "ExportResult": "edgenext_deploy.export.result",
    "Verdicts": "edgenext_deploy.export.verdict.check",
    "check_onnx": "edgenext_deploy.export.verdict.check",
    "export_onnx": "edgenext_deploy.export.api",
})
