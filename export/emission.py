"""From the reference module to the ONNX graph that the lowering emits, before anything simplifies it."""
import dataclasses
import itertools
from collections.abc import Callable, Iterator

import onnx
import torch
from torch import nn

from edgenext_deploy.artifacts.manifest import Preprocessing, Scores, TensorSpec
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import Run, parity_inputs, reference_function
from edgenext_deploy.export.graph_ends import end_of, front_of
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.scales import set_scales
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.precision.samples import drift_samples
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.weights import Reference
from edgenext_deploy.formulations import Formulation
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS

Lower = Callable[[nn.Module, LoweringContext], nn.Module]


@dataclasses.dataclass(frozen=True)
class Emitted:
    """A checked FP32 graph, and what it has to compute.

    Attributes:
        model: as emitted.
        islands: nodes that must compute in FP32, each with the reason.
        rules: how often each rule of the lowering fired.
        inputs: the graph's.
        outputs: the graph's.
        reference: what the reference module answers for the graph's input.
    """

    model: onnx.ModelProto
    islands: dict[str, str]
    rules: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reference: Run


def emit_graph(
    resolved: ResolvedExport, reference: Reference, preprocessing: Preprocessing, scores: Scores | None,
    lower_module: Lower = lower,
) -> Emitted:
    """Lower the reference module and write it down as ONNX.

    Args:
        resolved: the options.
        reference: the module.
        preprocessing: of the manifest.
        scores: of the manifest.
        lower_module: the lowering.

    Raises:
        UsageError: an option that is not exact for this module.
        TypeError: a module that no rule knows.
    """
    batch, _, height, width = resolved.shape
    affine = _input_affine(preprocessing) if preprocessing.folded else None
    features = resolved.task == "features"
    context = LoweringContext(batch, height, width, resolved.formulation or Formulation(), affine,
                              must_fold=resolved.fold_normalization, features=features)
    answer = tasks.answer_of(reference.module, scores, features)
    lowered = lower_module(reference.module, context)
    if features and not context.applied["classifier_left_out"]:
        raise UsageError(f"--outputs features: the lowering of {type(reference.module).__name__} has none",
                         "leave it out, or see docs/extending.md")
    in_front = None if context.applied["input_normalisation_folded"] else affine
    set_scales(lowered, context.scalings, _lowered_inputs(resolved.shape, preprocessing, in_front))
    inputs = (resolved.form.input_spec(resolved.shape),)
    outputs = tasks.output_specs(reference.module, resolved.shape, reference.num_classes, resolved.form)
    model, islands = emit(lowered, inputs, outputs, resolved.target.opset, resolved.target.ir_version,
                          resolved.variant.name, front_of(resolved.form, in_front), end_of(scores))
    onnx.checker.check_model(model, full_check=True)
    return Emitted(model, islands, dict(sorted(context.applied.items())), inputs, outputs,
                   reference_function(answer, affine))


def _lowered_inputs(
    shape: tuple[int, int, int, int], preprocessing: Preprocessing, in_front: tuple[torch.Tensor, torch.Tensor] | None
) -> Iterator[torch.Tensor]:
    """Yield the parity inputs and the bundled samples as a lowered module takes them, `[B, 3, H, W]` FP64."""
    for image in itertools.chain(parity_inputs(shape, preprocessing), drift_samples(None, shape, preprocessing)):
        x = torch.from_numpy(image).double()
        if in_front is not None:
            scale, shift = (value[:, None, None] for value in in_front)
            x = x * scale + shift
        yield x


def _input_affine(preprocessing: Preprocessing) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift `[3]` FP64 of `(x / 255 - mean) / std` for pixels x in 0..255, in the channel order."""
    order = list(CHANNEL_ORDERS[preprocessing.channel_order])
    mean, std = (torch.tensor(values, dtype=torch.float64)[order] for values in (preprocessing.mean, preprocessing.std))
    return 1 / (255 * std), -mean / std
