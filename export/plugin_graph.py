"""The second graph of ``--nms plugin``: the checked graph with TensorRT's NMS plugin behind it."""
import dataclasses

import onnx

from edgenext_deploy.artifacts import nms_plugin
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.export.checks.advice import OUR_NETWORK
from edgenext_deploy.export.graph.nms_plugin import with_nms_plugin
from edgenext_deploy.export.verdict import judge as verdicts
from edgenext_deploy.export.verdict.findings import group_findings, summary
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.targets import Target


@dataclasses.dataclass(frozen=True)
class PluginGraph:
    """The graph as bytes, its manifest, and sentences for the user."""

    content: bytes
    manifest: Manifest
    warnings: tuple[str, ...]


def plugin_graph(graph: onnx.ModelProto, manifest: Manifest, target: Target, name: str) -> PluginGraph:
    """Return the second graph, whose file is called ``<name>.onnx``.

    Everything else was checked on the graph without the plugin: nothing here can run it. The golden answers stay those
    of boxes and scores, see `engines.selftest.nms_test`.

    Raises:
        IncompatibleError: the target's TensorRT does not have the plugin.
    """
    assert manifest.detection is not None  # `ExportRequest.resolve` has refused other tasks
    plugged = with_nms_plugin(graph, manifest.detection)
    content = plugged.SerializeToString(deterministic=True)
    analysis = verdicts.analyse(plugged)
    verdicts.require_analysis(analysis, target, OUR_NETWORK.refused)
    groups = group_findings(verdicts.judge_analysis(analysis, release) for release in target.tensorrt)
    described = manifest._replace(
        graph=manifest.graph._replace(file=f"{name}.onnx", sha256=sha256_of_bytes(content), bytes=len(content)),
        outputs=nms_plugin.plugin_outputs(manifest.inputs[0].shape[0], manifest.detection),
        lowering={**manifest.lowering, "nodes": len(plugged.graph.node)},
        verdicts=summary(verdicts.judge_every_release(analysis)))
    return PluginGraph(content, described, tuple(
        str(group) for group in groups if group.op == nms_plugin.OP and group.severity == "warning"))
