"""From a network to a checked ONNX file: lowering, emission, verdicts, parity.

``export_onnx`` exports a network of ours, ``adopt`` one from an ONNX file of anybody's; ``check_onnx`` judges any ONNX
file. Importing this loads no torch; the names below are imported when first used.
"""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgenext_deploy.export.adoption.api import adopt
    from edgenext_deploy.export.adoption.request import AdoptRequest
    from edgenext_deploy.export.api import export_onnx, export_race
    from edgenext_deploy.export.race_export import RaceExport
    from edgenext_deploy.export.request import ExportRequest
    from edgenext_deploy.export.result import ExportResult
    from edgenext_deploy.export.survey.api import list_formulations
    from edgenext_deploy.export.survey.candidates import Candidate, FormulationReport
    from edgenext_deploy.export.verdict.check import Verdicts, check_onnx

__all__ = [
    "AdoptRequest", "Candidate", "ExportRequest", "ExportResult", "FormulationReport", "RaceExport", "Verdicts",
    "adopt", "check_onnx", "export_onnx", "export_race", "list_formulations"]

lazy_names(__name__, {
    "AdoptRequest": "edgenext_deploy.export.adoption.request",
    "Candidate": "edgenext_deploy.export.survey.candidates",
    "ExportRequest": "edgenext_deploy.export.request",
    "ExportResult": "edgenext_deploy.export.result",
    "RaceExport": "edgenext_deploy.export.race_export",
    "FormulationReport": "edgenext_deploy.export.survey.candidates",
    "Verdicts": "edgenext_deploy.export.verdict.check",
    "check_onnx": "edgenext_deploy.export.verdict.check",
    "adopt": "edgenext_deploy.export.adoption.api",
    "export_onnx": "edgenext_deploy.export.api",
    "export_race": "edgenext_deploy.export.api",
    "list_formulations": "edgenext_deploy.export.survey.api",
}, "export")
