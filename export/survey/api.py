"""`list_formulations`: writes a network in every formulation, and says what each costs."""
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.limits import FORMULATION_TOLERANCE
from edgenext_deploy.export.request import ExportRequest, Progress, no_progress
from edgenext_deploy.formulations import candidates_for, parse_formulation
from edgenext_deploy.targets import get_target

if TYPE_CHECKING:
    from torch import nn

    from edgenext_deploy.export.survey.candidates import FormulationReport
    from edgenext_deploy.models.variants.registry import Variant


def list_formulations(
    model_or_variant: "str | Variant | nn.Module", *, target: str = "nano", fp16: bool | None = None,
    names: Sequence[str] | None = None, weights: Union[str, "os.PathLike[str]", None] = None, state: str | None = None,
    pretrained: bool = False, image_size: int | tuple[int, int] | str | None = None, batch: int = 1,
    num_classes: int | None = None, seed: int = 0, samples: Union[str, "os.PathLike[str]", None] = None,
    tolerance: float = FORMULATION_TOLERANCE, progress: Progress = no_progress,
) -> "FormulationReport":
    """Return what each formulation of a network costs, and whether a target may run it. Nothing is written or measured.

    Args:
        model_or_variant: as in `export_onnx`.
        target: where the engine will run, a name in `targets.TARGETS`.
        fp16: aim at an FP16 engine. None: where the target has FP16.
        names: of the formulations, see docs/formulations.md. None: those worth comparing on the target.
        weights: as in `export_onnx`.
        state: as in `export_onnx`.
        pretrained: as in `export_onnx`.
        image_size: as in `export_onnx`.
        batch: number of images of one inference.
        num_classes: number of classes; None takes the checkpoint's, else the variant's.
        seed: number that seeds random weights.
        samples: folder with photos for the drift. None takes bundled ones and synthetic extremes.
        tolerance: error of the largest value of an output, relative, that FP16 may have with every sum in FP16.
        progress: called with a few words before each step.

    Raises:
        UsageError: an unknown name, or options that do not go together.
        BadInputError: a weights file, or a folder of samples, that does not fit.
        IncompatibleError: FP16 in a way that the target does not have.
    """
    found = get_target(target)
    chosen = tuple(names) if names else candidates_for(bool(found.tensorrt), found.formulation)
    for name in chosen:
        parse_formulation(name)
    request = ExportRequest(
        model_or_variant, target=target, fp16=bool(found.tensorrt) if fp16 is None else fp16, weights=weights,
        state=state, pretrained=pretrained, image_size=image_size, batch=batch, num_classes=num_classes, seed=seed)
    request.resolve()
    if samples is not None and not request.fp16:
        raise UsageError("--samples are the photos of FP16's drift, and the engine is to compute in FP32",
                         "leave it out, or add --fp16")
    from edgenext_deploy.export.survey.survey import Survey

    return Survey(request, chosen, None if samples is None else os.fspath(samples), tolerance, progress).run()
