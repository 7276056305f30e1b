"""From the reference module to the ONNX graph that the lowering emits, before anything simplifies it."""
import dataclasses
from collections.abc import Callable

import onnx
import torch
from torch import nn

from edgenext_deploy.artifacts.manifest import Preprocessing, TensorSpec
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import Run, reference_function
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.weights import Reference
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
    resolved: ResolvedExport, reference: Reference, preprocessing: Preprocessing, lower_module: Lower
) -> Emitted:
    """Lower the reference module and write it down as ONNX.

    Raises:
        UsageError: an option that is not exact for this module.
        TypeError: a module that no rule knows.
    """
    batch, _, height, width = resolved.shape
    affine = _input_affine(preprocessing) if preprocessing.folded else None
    context = LoweringContext(batch, height, width, resolved.layout, resolved.padding, affine)
    inputs = (TensorSpec("image", resolved.shape, "float32"),)
    outputs = tasks.output_specs(reference.module, batch, height, width, reference.num_classes)
    model, islands = emit(lower_module(reference.module, context), inputs, outputs, resolved.target.opset,
                          resolved.target.ir_version, resolved.variant.name)
    onnx.checker.check_model(model, full_check=True)
    return Emitted(model, islands, dict(sorted(context.applied.items())), inputs, outputs,
                   reference_function(tasks.answer_of(reference.module), affine))


def _input_affine(preprocessing: Preprocessing) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift `[3]` FP64 of `(x / 255 - mean) / std` for pixels x in 0..255, in the channel order."""
    order = list(CHANNEL_ORDERS[preprocessing.channel_order])
    mean, std = (torch.tensor(values, dtype=torch.float64)[order] for values in (preprocessing.mean, preprocessing.std))
    return 1 / (255 * std), -mean / std
