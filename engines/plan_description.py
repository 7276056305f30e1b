"""What a plan's sidecar says of a build."""
import datetime

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.nms_plugin import OP, ends_in_plugin
from edgenext_deploy.artifacts.plan_check import SCHEMA, Environment, PlanFile, PlanRecord
from edgenext_deploy.engines.build_records import BuildResult
from edgenext_deploy.engines.precision.mode import FP32
from edgenext_deploy.engines.precision.pins import pins_of
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.version import __version__


def record_of(result: BuildResult, onnx_file: str, manifest: Manifest, manifest_file: bytes,
              environment: Environment) -> PlanRecord:
    """Return the content of a plan's sidecar.

    Args:
        result: the build.
        onnx_file: name of the graph's file.
        manifest: of the graph.
        manifest_file: content of the manifest's file, which will lie next to the plan.
        environment: this machine.
    """
    report = result.report
    capability = report.compute_capability or environment.compute_capability
    pinned = set(report.pins.layers) if report.mode == "flag" else set(pins_of(manifest))
    flags = report.flags + tuple("TACTIC_SOURCES-" + name for name in report.dropped_tactics)
    if report.optimization_level is not None:
        flags += ("OPTIMIZATION_LEVEL_{}".format(report.optimization_level),)
    if report.mode == FP32:
        pinned = set()
    return PlanRecord(
        schema=SCHEMA, toolkit_version=__version__, plan=PlanFile(onnx_file, "", len(result.plan)),
        onnx_file=onnx_file, onnx_sha256=manifest.graph.sha256,
        manifest_sha256=sha256_of_bytes(manifest_file), flavour=report.runtime,
        tensorrt=report.version, compute_capabilities=(capability,) if capability else (), environment=environment,
        builder_flags=flags, precision=report.precision, precision_mode="none" if report.mode == FP32 else report.mode,
        fp32_pins={reason: kept for reason, nodes in manifest.precision.fp32_pins.items()
                   for kept in [tuple(node for node in nodes if node in pinned)] if kept},
        workspace_bytes=report.workspace_bytes, build_seconds=report.build_s,
        built_at=datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"), proof=json_records.to_json(report.proof),
        plugins=(OP,) if ends_in_plugin(manifest.outputs) else ())
