"""The export, step by step: load, lower, simplify, set the precision, judge, compare, build, write."""
import collections
import functools
from collections.abc import Callable

import onnx

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts import nms_plugin
from edgenext_deploy.artifacts.manifest import Manifest, Preprocessing, Scores
from edgenext_deploy.export.checks.golden_answers import golden_answers
from edgenext_deploy.export.checks.rtx import Build, build_with_rtx, require_build
from edgenext_deploy.export.checks.torch_settings import one_thread
from edgenext_deploy.export.description import Checks, FinalGraph, Network, describe, network_of
from edgenext_deploy.export.emission import Emitted, Lower, emit_graph
from edgenext_deploy.export.graph.simplify import Simplified, simplify
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.overwrite import require_replaceable
from edgenext_deploy.export.parity_step import check_parity
from edgenext_deploy.export.plugin_graph import plugin_graph
from edgenext_deploy.export.precision_step import apply_precision
from edgenext_deploy.export.request import ExportRequest, Progress
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.result import ExportResult, GraphFiles, paths_of
from edgenext_deploy.export.training_choice import choose
from edgenext_deploy.export.verdict import judge as verdicts
from edgenext_deploy.export.weights import Reference, load_reference
from edgenext_deploy.files import write_files_atomically

Emit = Callable[[ResolvedExport, Reference, Preprocessing, Scores | None], Emitted]
_DECISIONS = {"classification": "inputs", "detection": "anchors", "segmentation": "pixels"}


def run_export(
    request: ExportRequest, lower_module: Lower = lower,
    simplify: Callable[[onnx.ModelProto], Simplified] = simplify, build: Build = build_with_rtx,
) -> ExportResult:
    """Export as `export_onnx` does, with the caller's tools.

    Args:
        request: the options.
        lower_module: the lowering; tests give one that is broken.
        simplify: the simplifier; tests give a cheap one where they ask nothing about it.
        build: builds the ONNX file at a path for compute capabilities with TensorRT-RTX; tests give a cheap one.

    Raises:
        EdgeNextError: see `export_onnx`.
    """
    emit = functools.partial(emit_graph, lower_module=lower_module)
    return Export(request.resolve(), request.progress, emit=emit, simplify=simplify, build=build).run()


def load(resolved: ResolvedExport, progress: Progress) -> Reference:
    """Return the reference module of a variant."""
    return load_reference(resolved.variant, resolved.source, resolved.num_classes, progress)


class Export:
    """One export: its options and its tools.

    Args:
        resolved: the options.
        progress: called with a few words before each step.
        load: gives the network to export, with its weights.
        emit: writes it down as an FP32 graph.
        simplify: the simplifier.
        build: the builder of TensorRT-RTX.
    """

    def __init__(
        self, resolved: ResolvedExport, progress: Progress,
        load: Callable[[ResolvedExport, Progress], Reference] = load, emit: Emit = emit_graph,
        simplify: Callable[[onnx.ModelProto], Simplified] = simplify, build: Build = build_with_rtx,
    ) -> None:
        self.resolved, self.progress = resolved, progress
        self.load, self.emit, self.simplify, self.build = load, emit, simplify, build

    @one_thread()
    def run(self) -> ExportResult:
        """Take every step; nothing is written before all checks have passed."""
        progress = self.progress
        progress("loading weights")
        reference = self.load(self.resolved, progress)
        training = choose(self.resolved, reference)
        resolved = self.resolved = self.resolved.with_size_of(training.said)
        network = network_of(resolved, reference, training)
        require_replaceable(resolved, reference.weights, network)
        progress("lowering")
        emitted = self.emit(resolved, reference, network.preprocessing, network.scores)
        graph = self._finish(emitted, network.preprocessing)
        checks = self._check(emitted, graph, network)
        progress("writing")
        manifest = describe(resolved, reference, network, emitted, graph, checks)
        return self._write(emitted, graph, checks, manifest, network)

    def _finish(self, emitted: Emitted, preprocessing: Preprocessing) -> FinalGraph:
        """Return the graph simplified and in its precision."""
        self.progress("simplifying")
        simplified = self.simplify(emitted.model)
        result = apply_precision(simplified.model, emitted.islands, self.resolved, preprocessing, self.progress)
        return FinalGraph(result, result.model.SerializeToString(deterministic=True), simplified.warning)

    def _check(self, emitted: Emitted, graph: FinalGraph, network: Network) -> Checks:
        resolved, model, preprocessing = self.resolved, graph.result.model, network.preprocessing
        self.progress("judging operators")
        analysis = verdicts.analyse(model)
        verdicts.require_analysis(analysis, resolved.target, resolved.advice.refused)
        self.progress("comparing with the reference module")
        parity = check_parity(resolved, emitted.reference, model, preprocessing, network.scores)
        golden = golden_answers(emitted.reference, resolved.shape, preprocessing, emitted.outputs, network.scores)
        self.progress("building with TensorRT-RTX")
        fp32_norms = resolved.typed and not resolved.scaled
        rtx = require_build(graph.content, resolved.name, resolved.target, fp32_norms, self.build, resolved.advice)
        return Checks(analysis, parity, golden, rtx)

    def _write(
        self, emitted: Emitted, graph: FinalGraph, checks: Checks, manifest: Manifest, network: Network
    ) -> ExportResult:
        """Write all files at once, each manifest after its graph."""
        resolved, result = self.resolved, graph.result
        onnx_path, manifest_path = paths_of(resolved.folder, resolved.name)
        analysed = {str(resolved.folder / f"{resolved.name}.{ending}"): data for ending, data in result.files.items()}
        files = {onnx_path: graph.content, **analysed, manifest_path: manifests.dump(manifest)}
        warnings = [*network.warnings, *result.warnings, *self._warnings(graph, checks)]
        nms = None
        if resolved.nms_plugin:
            stem = resolved.name + nms_plugin.SUFFIX
            plugged = plugin_graph(result.model, manifest, resolved.target, stem)
            nms = GraphFiles(plugged.manifest, *paths_of(resolved.folder, stem))
            files.update({nms.onnx_path: plugged.content, nms.manifest_path: manifests.dump(nms.manifest)})
            warnings += plugged.warnings
        write_files_atomically(files)
        return ExportResult(
            manifest, onnx_path, manifest_path, _operator_counts(result.model), _operator_counts(emitted.model),
            tuple(warnings), checks.rtx, result, tuple(analysed), nms, network.notes)

    def _warnings(self, graph: FinalGraph, checks: Checks) -> list[str]:
        warnings = []
        if graph.simplifier_warning is not None:
            warnings.append(f"{graph.simplifier_warning}; the graph is written unsimplified")
        if (not checks.rtx.available or checks.rtx.timed_out) and self.resolved.target.tensorrt:
            warnings.append(f"not built by NVIDIA's own parser and builder: {checks.rtx.reason}")
        agreement = checks.parity.top1_agreement
        if agreement < 1:
            warnings.append(f"the most probable class differs from the reference module's in {1 - agreement:.2%} of "
                            f"the {_DECISIONS[self.resolved.variant.task]}")
        return warnings


def _operator_counts(graph: onnx.ModelProto) -> dict[str, int]:
    counts = collections.Counter(node.op_type for node in graph.graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
