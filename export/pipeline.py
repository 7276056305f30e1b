"""The export, step by step: load, lower, emit, simplify, judge, compare, build, write."""
import base64
import collections
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from edgenext_deploy.artifacts import golden, nms_plugin
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import (
    Golden,
    GoldenOutput,
    GraphFile,
    Manifest,
    Parity,
    Preprocessing,
    TensorSpec,
)
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import DEFECT, Run, compare, parity_inputs, reference_function
from edgenext_deploy.export.checks.rtx import RtxReport, build_with_rtx
from edgenext_deploy.export.graph.nms_plugin import with_nms_plugin
from edgenext_deploy.export.graph.simplify import Simplified, simplify
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.precision_step import Precise, apply_precision
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.verdict import judge as verdicts
from edgenext_deploy.export.weights import load_weights
from edgenext_deploy.files import sha256_of_bytes, write_files_atomically
from edgenext_deploy.models.registry import Variant
from edgenext_deploy.networks.labels import SHIPPED, load_labels
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.targets import Target
from edgenext_deploy.version import __version__

# Of the largest logit. FP32 accumulates differently in every runtime; what was measured is about 1e-6.
PARITY_TOLERANCE = 1e-4
# The same, where the graph itself computes in FP16; --auto-pin may have been allowed more.
TYPED_TOLERANCE = 1e-2
# For a self-test on a device: TF32 on Ampere GPUs keeps 10 bits of mantissa, FP16 as many.
_GOLDEN_TOLERANCE = {"fp32": 5e-3, "fp16": 2e-2}
# Share of the pixels that may be of another class.
_GOLDEN_PIXELS = {"fp32": 1e-2, "fp16": 5e-2}
_GOLDEN_SEED = 7

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What an export wrote, and what is worth showing.

    Attributes:
        manifest: as written.
        onnx_path: the graph.
        manifest_path: its sidecar.
        operators: ONNX operator types with their counts, most frequent first.
        emitted_operators: the same before the simplifier.
        warnings: sentences for the user.
        rtx: what TensorRT-RTX said.
        precise: what the precision step did, with the drift analysis if it was asked for.
        other_paths: files of the drift analysis.
        nms: the graph that ends in the NMS plugin, None if it was not asked for.
    """

    manifest: Manifest
    onnx_path: str
    manifest_path: str
    operators: dict[str, int]
    emitted_operators: dict[str, int]
    warnings: tuple[str, ...]
    rtx: RtxReport
    precise: Precise
    other_paths: tuple[str, ...]
    nms: "NmsGraph | None" = None

    @property
    def engine_path(self) -> str:
        """Path of the graph that TensorRT is to build."""
        return self.onnx_path if self.nms is None else self.nms.onnx_path


@dataclasses.dataclass(frozen=True)
class NmsGraph:
    """The second graph of ``--nms plugin``: its manifest as written, where both are, and sentences for the user."""

    manifest: Manifest
    onnx_path: str
    manifest_path: str
    warnings: tuple[str, ...]


def run_export(
    request: ExportRequest, progress: Progress = lambda step: None, lower_module: Callable[..., nn.Module] = lower,
    simplify: Callable[[onnx.ModelProto], Simplified] = simplify, build: Callable[[str], RtxReport] = build_with_rtx,
) -> ExportResult:
    """Export a variant and write ``<variant>.onnx`` and ``<variant>.json``; with the NMS plugin two more.

    Nothing is written before everything has been checked, and then all files at once.

    Args:
        request: the options.
        progress: called with a few words before each step.
        lower_module: the lowering; tests give one that is broken.
        simplify: the simplifier; tests give a cheap one where they ask nothing about it.
        build: builds the ONNX file at a path with TensorRT-RTX; tests give a cheap one likewise.

    Raises:
        UsageError: options that cannot be done.
        BadInputError: a weights or labels file that does not fit.
        IncompatibleError: the target cannot run the graph.
        VerificationError: the graph does not compute what the reference module computes.
        MissingRuntimeError: ``--pretrained`` without a network.
    """
    variant, target, precision = request.checked()
    height, width = request.size(variant)
    progress("loading weights")
    model, weights, crop_pct, classes = load_weights(variant, request, progress)
    labels, labels_source = _labels(request, variant, classes)
    preprocessing = Preprocessing(
        height, width, request.crop_pct or crop_pct, "bicubic", variant.mean, variant.std,
        request.fold_normalization, "crop" if variant.task == "classification" else "stretch")
    progress("lowering")
    input_affine = _input_affine(variant) if request.fold_normalization else None
    context = LoweringContext(
        request.batch, height, width, request.layout or target.layout,
        request.padding or target.padding, input_affine)
    lowered = lower_module(model, context)
    inputs = (TensorSpec("image", (request.batch, 3, height, width), "float32"),)
    outputs = tasks.output_specs(model, request.batch, height, width, classes)
    emitted, islands = emit(lowered, inputs, outputs, target.opset, target.ir_version, variant.name)
    onnx.checker.check_model(emitted, full_check=True)
    progress("simplifying")
    simplified = simplify(emitted)
    precise = apply_precision(
        simplified.model, islands, precision, request, inputs[0].shape, preprocessing, progress)
    graph = precise.model
    content = graph.SerializeToString(deterministic=True)
    progress("judging operators")
    analysis = verdicts.analyse(graph)
    verdicts.require_analysis(analysis, target)
    progress("comparing with the reference module")
    typed = precision.mode == "typed"
    reference = reference_function(tasks.answer_of(model), input_affine)
    parity = compare(
        reference, _runtime_function(tasks.observed(graph)), parity_inputs(inputs[0].shape, preprocessing),
        _typed_tolerance(request) if typed else PARITY_TOLERANCE, tasks.least_agreement(variant, typed),
        _typed_fix(variant, request) if typed else DEFECT)
    progress("building with TensorRT-RTX")
    rtx = _build(content, variant.name, typed, build)
    progress("writing")
    manifest = Manifest(
        schema=manifests.SCHEMA, toolkit_version=__version__, task=variant.task, variant=variant.name,
        weights=weights, target=target.name,
        graph=GraphFile(
            f"{variant.name}.onnx", sha256_of_bytes(content), len(content), target.opset, target.ir_version),
        inputs=_with_type(inputs, request.io), outputs=_with_type(outputs, request.io), preprocessing=preprocessing,
        labels=labels, labels_source=labels_source, precision=precise.precision,
        lowering={"layout": context.layout, "padding": context.padding, "rules": dict(sorted(context.applied.items())),
                  "nodes": len(graph.graph.node), "simplified": simplified.warning is None},
        verdicts=verdicts.summary({name: verdicts.judge_analysis(analysis, name)
                                   for name in verdicts.documented_releases()}),
        parity=parity, golden=_golden(reference, inputs[0].shape, preprocessing, outputs),
        detection=tasks.detection_of(variant))
    plugged = _with_plugin(graph, manifest, target) if request.nms == "plugin" else None
    folder = Path(request.output)
    onnx_path, manifest_path = str(folder / f"{variant.name}.onnx"), str(folder / f"{variant.name}.json")
    analysed = {str(folder / f"{variant.name}.{ending}"): data for ending, data in precise.files.items()}
    files = {onnx_path: content, **analysed, manifest_path: manifests.dump(manifest)}
    nms = None
    if plugged is not None:
        stem = str(folder / f"{variant.name}{nms_plugin.SUFFIX}")
        nms = NmsGraph(plugged[1], stem + ".onnx", stem + ".json", plugged[2])
        files.update({nms.onnx_path: plugged[0], nms.manifest_path: manifests.dump(nms.manifest)})
    write_files_atomically(files)
    return ExportResult(
        manifest, onnx_path, manifest_path, _operator_counts(graph), _operator_counts(emitted),
        (*precise.warnings, *_warnings(simplified.warning, rtx, target, parity, variant.task),
         *(nms.warnings if nms is not None else ())), rtx, precise,
        tuple(analysed), nms)


def _with_plugin(graph: onnx.ModelProto, manifest: Manifest, target: Target) -> tuple[bytes, Manifest, tuple[str, ...]]:
    """Return the graph with the NMS plugin behind it, its manifest, and what is known against the plugin.

    Everything was checked on the graph without it: nothing here can run the plugin. The golden answers stay those
    of boxes and scores, see `engines.selftest.nms_test`.
    """
    assert manifest.detection is not None  # `ExportRequest.checked` has refused other tasks
    plugged = with_nms_plugin(graph, manifest.detection)
    content = plugged.SerializeToString(deterministic=True)
    analysis = verdicts.analyse(plugged)
    verdicts.require_analysis(analysis, target)
    doubts = verdicts.group_findings(verdicts.judge_analysis(analysis, release) for release in target.tensorrt)
    warnings = tuple(str(group) for group in doubts if group.op == nms_plugin.OP and group.severity == "warning")
    described = manifest._replace(
        graph=manifest.graph._replace(file=f"{manifest.variant}{nms_plugin.SUFFIX}.onnx",
                                      sha256=sha256_of_bytes(content), bytes=len(content)),
        outputs=nms_plugin.plugin_outputs(manifest.inputs[0].shape[0], manifest.detection),
        lowering={**manifest.lowering, "nodes": len(plugged.graph.node)},
        verdicts=verdicts.summary({name: verdicts.judge_analysis(analysis, name)
                                   for name in verdicts.documented_releases()}))
    return content, described, warnings


def _labels(request: ExportRequest, variant: Variant, classes: int) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes, none if nobody says, and where they come from."""
    if request.labels:
        name = request.labels if request.labels in SHIPPED else Path(request.labels).name
        return load_labels(request.labels, classes), name
    if classes == variant.num_classes:
        return load_labels(variant.labels, classes), variant.labels
    return (), "none"


def _input_affine(variant: Variant) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift `[3]` FP64 of `(x / 255 - mean) / std` for pixels x in 0..255."""
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (variant.mean, variant.std))
    return 1 / (255 * std), -mean / std


def _with_type(specs: tuple[TensorSpec, ...], io: str) -> tuple[TensorSpec, ...]:
    floating = {"fp32": "float32", "fp16": "float16"}[io]
    return tuple(spec._replace(dtype=floating) if spec.dtype == "float32" else spec for spec in specs)


def _runtime_function(graph: onnx.ModelProto) -> Run:
    """Return the graph as a function from float32 to float32 (or classes), whatever the types of its ends."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # the same bits, so the same manifest, on any number of cores
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kind = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32

    def run(image: np.ndarray) -> tuple[np.ndarray, ...]:
        results = session.run(None, {"image": image.astype(kind, copy=False)})
        return tuple(result.astype(np.float32, copy=False) if result.dtype.kind == "f" else result
                     for result in results)

    return run


def _typed_tolerance(request: ExportRequest) -> float:
    return max(TYPED_TOLERANCE, request.tolerance) if request.auto_pin else TYPED_TOLERANCE


def _typed_fix(variant: Variant, request: ExportRequest) -> str:
    """Return what to do if a typed graph is off: most likely FP16 does not hold this checkpoint's activations."""
    if request.auto_pin:
        return "give photos that show more of what the camera will see with --samples, or export without --fp16"
    if variant.task == "classification":
        return "FP16 may be too narrow for these weights: add --auto-pin, or export without --fp16"
    return ("FP16 may be too narrow for these weights: --target nano --fp16 --drift shows at which node; "
            "or export without --fp16")


def _build(content: bytes, name: str, typed: bool, build: Callable[[str], RtxReport]) -> RtxReport:
    with tempfile.TemporaryDirectory(prefix="edgenext-export-") as folder:
        path = Path(folder, f"{name}.onnx")
        path.write_bytes(content)
        report = build(str(path))
    if report.available and not report.ok:
        raise VerificationError(
            f"TensorRT-RTX {report.version} refuses the graph: {report.reason}; nothing was written",
            "this is a defect of the lowering: please report the variant and the options")
    if typed and report.fp16_layernorm:
        raise VerificationError(
            f"TensorRT-RTX {report.version} sees a LayerNorm that computes in FP16; nothing was written",
            "this is a defect of the precision plan: please report the variant and the options")
    return report


def _golden(
    reference: Run, shape: tuple[int, ...], preprocessing: Preprocessing, outputs: tuple[TensorSpec, ...]
) -> Golden:
    image = normalise(golden.golden_batch(_GOLDEN_SEED, shape), preprocessing)
    first, *more = (_golden_output(output) for output in reference(image)[-len(outputs):])
    tolerance = _GOLDEN_TOLERANCE if outputs[0].dtype == "float32" else _GOLDEN_PIXELS
    return Golden(
        seed=_GOLDEN_SEED, input_sha256=golden.digest(image), tolerance=tolerance, more=tuple(more),
        **first._asdict())


def _golden_output(output: np.ndarray) -> GoldenOutput:
    # A map of classes is the largest of all answers by far, and a byte holds 256 of them.
    kind = "float32" if output.dtype.kind == "f" else "uint8" if output.max() < 256 else "int32"
    content = output.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return GoldenOutput(tuple(output.shape), base64.b64encode(content).decode("ascii"), kind)


def _operator_counts(graph: onnx.ModelProto) -> dict[str, int]:
    counts = collections.Counter(node.op_type for node in graph.graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _warnings(
    simplifier: str | None, rtx: RtxReport, target: Target, parity: Parity, task: str
) -> tuple[str, ...]:
    warnings = []
    if simplifier is not None:
        warnings.append(f"{simplifier}; the graph is written unsimplified")
    if not rtx.available and target.tensorrt:
        warnings.append(f"not parsed by NVIDIA's own parser: {rtx.reason}")
    if parity.top1_agreement < 1:
        warnings.append(
            f"the most probable class is another than the reference module's in {1 - parity.top1_agreement:.2%} of the "
            + {"classification": "inputs", "detection": "anchors", "segmentation": "pixels"}[task])
    return tuple(warnings)
