"""Takes a network through the export's steps once for each formulation, as far as figures need it."""
import dataclasses
from pathlib import Path

import onnx

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import compare, parity_inputs, runtime_function
from edgenext_deploy.export.checks.rtx import Build, build_with_rtx, sm_for
from edgenext_deploy.export.checks.torch_settings import one_thread
from edgenext_deploy.export.description import Network, network_of
from edgenext_deploy.export.emission import Emitted, emit_graph
from edgenext_deploy.export.graph.simplify import simplify
from edgenext_deploy.export.parity_step import PARITY_TOLERANCE
from edgenext_deploy.export.pipeline import load
from edgenext_deploy.export.precision.drift import worst_case
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.precision.fp32_pins import Pins, pins_of
from edgenext_deploy.export.precision.headroom import fp16_ranges, require_range
from edgenext_deploy.export.precision.samples import drift_samples
from edgenext_deploy.export.precision.typed import count_casts, to_typed
from edgenext_deploy.export.request import ExportRequest, Progress
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.survey.candidates import Candidate, FormulationReport
from edgenext_deploy.export.training_choice import choose
from edgenext_deploy.export.verdict import judge as verdicts
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.graph_work import work_of
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.targets import Target


class Survey:
    """One survey: the network is loaded once.

    Args:
        request: of the network; its formulation is left out.
        names: of the formulations.
        samples: folder with photos for the drift, or None.
        tolerance: of the drift.
        progress: called with a few words before each step.
        build: builds with TensorRT-RTX; tests give a cheap one.
    """

    def __init__(
        self, request: ExportRequest, names: tuple[str, ...], samples: str | None, tolerance: float,
        progress: Progress, build: Build = build_with_rtx,
    ) -> None:
        self.request, self.names, self.tolerance, self.progress = request, names, tolerance, progress
        self.samples_folder, self.build = samples, build

    @one_thread()
    def run(self) -> FormulationReport:
        """Return the candidates, in the order of their names."""
        resolved = self.request.resolve()
        self.progress("loading weights")
        self.reference = load(resolved, self.progress)
        training = choose(resolved, self.reference)
        self.resolved = resolved.with_size_of(training.said)
        self.network = network_of(self.resolved, self.reference, training)
        self.fp16 = self.resolved.precision.requested == "fp16"
        self.samples = drift_samples(
            self.samples_folder, self.resolved.shape, self.network.preprocessing) if self.fp16 else []
        found: dict[bytes, Candidate] = {}
        candidates = [self._candidate(name, found) for name in self.names]
        return FormulationReport(
            self.resolved.variant.name, self.resolved.target.name, self.fp16, self.resolved.shape,
            self.reference.weights.source, self.tolerance, len(self.samples), tuple(candidates))

    def _candidate(self, name: str, found: dict[bytes, Candidate]) -> Candidate:
        self.progress(f"{name}: lowering")
        resolved = dataclasses.replace(self.resolved, formulation=parse_formulation(name))
        emitted = emit_graph(resolved, self.reference, self.network.preprocessing, self.network.scores)
        content = emitted.model.SerializeToString(deterministic=True)
        if content not in found:
            found[content] = self._measured(name, resolved, emitted, self.network)
            return found[content]
        return dataclasses.replace(found[content], name=name, same_as=found[content].name)

    def _measured(self, name: str, resolved: ResolvedExport, emitted: Emitted, network: Network) -> Candidate:
        self.progress(f"{name}: simplifying")
        model = simplify(emitted.model).model
        pins = pins_of(model, emitted.islands)
        kernels, traffic = _work(model, pins, self.fp16)
        problems = verdicts.target_problems(verdicts.analyse(model), resolved.target)
        reasons = [f"TensorRT refuses it: {problem}" for problem in problems]
        self.progress(f"{name}: comparing with the reference module")
        parity, reason = _parity(resolved, emitted, model, network.preprocessing)
        reasons += reason
        drift, casts, layers, why_not_built = None, None, None, "FP32"
        if self.fp16:
            self.progress(f"{name}: emulating FP16")
            drift, drift_reasons = self._drift(model, pins)
            reasons += drift_reasons
            casts, layers, why_not_built = self._typed(name, model, pins, resolved.target)
        return Candidate(
            name, reasons[0] if reasons else "", "", model, pins, parity, len(model.graph.node), kernels, traffic,
            model.ByteSize(), casts, drift, problems, layers, why_not_built)

    def _drift(self, model: onnx.ModelProto, pins: Pins) -> tuple[float, list[str]]:
        """Return the error with every sum in FP16, and what is wrong with it."""
        reasons = []
        try:
            require_range(fp16_ranges(model, pins, parity_inputs(self.resolved.shape, self.network.preprocessing)))
        except VerificationError as error:
            reasons.append(error.message.replace("; nothing was written", ""))
        numbers = tasks.up_to_logits(model)
        emulator = Emulator(numbers)
        drift = max(worst_case(emulator, image, pins).error for image in self.samples)
        if drift > self.tolerance:
            reasons.append(f"FP16 is off by {drift:.2g} of the largest value, {self.tolerance:g} is allowed")
        return drift, reasons

    def _typed(
        self, name: str, model: onnx.ModelProto, pins: Pins, target: Target
    ) -> tuple[int | None, int | None, str]:
        """Return the Casts of the typed form, the layers of TensorRT-RTX's engine of it, and why there is none."""
        try:
            typed = to_typed(model, pins)
        except VerificationError as error:
            return None, None, error.message
        self.progress(f"{name}: building with TensorRT-RTX")
        with scratch_folder() as folder:
            path = Path(folder, "candidate.onnx")
            path.write_bytes(typed.SerializeToString())
            report = self.build(str(path), (sm_for(target),))
        return count_casts(typed), report.builds[0].engine_layers if report.ok else None, report.reason


def _work(model: onnx.ModelProto, pins: Pins, fp16: bool) -> tuple[int, int]:
    """Return kernels, and the bytes that they read and write; a kernel is FP32 if its first node is pinned."""
    kernels = [kernel for stage in work_of(onnx.shape_inference.infer_shapes(model).graph) for kernel in stage.kernels]
    return len(kernels), sum(
        kernel.elements * (4 if not fp16 or kernel.name in pins else 2) for kernel in kernels)


def _parity(
    resolved: ResolvedExport, emitted: Emitted, model: onnx.ModelProto, preprocessing: Preprocessing
) -> tuple[float, list[str]]:
    """Return the largest relative difference from the reference module, and what is wrong with it."""
    try:
        parity = compare(emitted.reference, runtime_function(tasks.observed(model)),
                         parity_inputs(resolved.shape, preprocessing), PARITY_TOLERANCE,
                         tasks.least_agreement(resolved.variant.task, False), decides=resolved.task != "features")
    except VerificationError as error:
        return float("inf"), [error.message.replace("; nothing was written", "")]
    return parity.max_relative_error, []
