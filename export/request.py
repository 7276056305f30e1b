"""What an export is asked for, and what that stands for: all of it is checked before any work is done."""
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

from edgenext_deploy.artifacts.manifest import Precision
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.image_size import parse_image_size, require_size
from edgenext_deploy.export.limits import CHOICES, FRACTIONS, TOLERANCE, WHOLE_NUMBERS
from edgenext_deploy.export.output_place import place_of
from edgenext_deploy.export.pixel_input import require_pixels
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.export.preprocessing_request import Color, options_of
from edgenext_deploy.export.request_checks import require_allowed, require_fp16_to_analyse
from edgenext_deploy.export.resolved import DriftOptions, GraphForm, ResolvedExport, WeightsSource
from edgenext_deploy.files import why_not_writable
from edgenext_deploy.formulations import Formulation, parse_formulation
from edgenext_deploy.models.variants.registry import Variant, get_variant
from edgenext_deploy.networks.labels import SHIPPED, load_labels, require_count
from edgenext_deploy.targets import Target, get_target
from edgenext_deploy.tensorrt_api.precision_modes import refusal_of_mode

if TYPE_CHECKING:
    from torch import nn

PathLike = Union[str, os.PathLike[str]]
# What a graph gives where nothing is said; the outputs of the other tasks are fixed.
_OUTPUTS = {"classification": "logits"}
Progress = Callable[[str], None]


def no_progress(step: str) -> None:
    """Show nothing."""


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """The arguments of `export_onnx`, which are the options of ``edgenext-export``.

    Attributes:
        model_or_variant: a name in the registry, a variant, or a module of a known family on any device and in any
            mode. A module is exported with its own weights and number of classes, from a copy: it stays as it is.
        output: folder for the files, which need not exist; or the graph's own path, if it ends in ``.onnx``.
        name: stem of the files' names. None takes that of `output` if it is a file, else the variant's name.
        force: replace files that are not an export of the same weights, target, input and precision.
        target: where the engine will run, a name in `targets.TARGETS`.
        fp16: aim at an FP16 engine.
        weights: checkpoint file, official, timm or one's own, ``.pth`` or ``.safetensors``.
        state: the set of tensors to take from a file with several that fit, such as ``model_ema``.
        pretrained: download the published weights, or take them from the cache or the package.
        image_size: input size in pixels: 256, ``(224, 320)`` for height and width, or as the command takes it
            (``"224x320"``). None takes the variant's.
        batch: images of one inference, fixed; what runs the engine fills up the last batch.
        num_classes: number of classes; None takes the checkpoint's, else the variant's.
        labels: the class names, or the file that has them, see `networks.labels.load_labels`. None takes those of the
            published network if the number of classes is the same.
        activation: what makes probabilities of a classifier's logits: ``softmax``, or ``sigmoid`` for classes that do
            not exclude each other. None takes softmax, and sigmoid where there is one class.
        threshold: of a sigmoid: the probability from which a class counts as present, 0..1. None takes 0.5.
        outputs: of a classifier's graph: ``logits``; ``probabilities``, with the activation in the graph; or
            ``features``, the embedding `[B, C]` in front of the classifier. None takes logits, and of other tasks
            their own outputs.
        input: what the graph takes: ``float`` (prepared, see `io` for the type), or pixels as they are, which it
            normalises: ``uint8`` `[B, 3, H, W]`, or ``uint8-nhwc`` `[B, H, W, 3]`.
        mean: three numbers for R, G and B in units of the 0..1 range, or text (``"0.5,0.5,0.5"``). None takes the
            checkpoint's, else the published network's; so do the next seven.
        std: as `mean`.
        interpolation: Pillow's filter: ``bicubic``, ``bilinear``, ``nearest`` or ``lanczos``.
        fit: ``crop``, ``stretch`` or ``letterbox``, see `preprocess.placement`.
        pad_color: of the border of a letterbox, three whole numbers 0..255 for R, G and B, or text.
        crop_pct: share of the resized photo that is cropped, 0.1..1.
        resize_size: in place of `crop_pct`, the shorter side of the resized photo in pixels, before the crop.
        channel_order: of the network's input, ``rgb`` or ``bgr``; the other options stay in RGB order.
        formulation: name of the form in which the network is written, such as ``nchw-scaled-scores``, see
            docs/formulations.md. None takes the target's.
        layout: in place of `formulation`, the target's with this layout: ``nchw`` or ``tokens``.
        padding: in place of `formulation`, the target's with this padding: ``node`` or ``attribute``.
        fold_normalization: fold mean and std into the stem: the engine takes pixels 0..255.
        seed: seed of the random weights, which are used without `weights` and `pretrained` unless some ship with the
            variant.
        precision_mode: how FP16 is asked for: ``flag`` (FP32 graph, FP16 builder flag) or ``typed`` (FP16 graph).
            None takes the target's.
        io: type of a typed graph's inputs and outputs, ``fp32`` or ``fp16``.
        nms: where a detector's boxes are suppressed: ``host``, or ``plugin``, which writes a second graph.
        drift: analyse on the CPU what FP16 does to every layer.
        samples: folder with photos for `drift` and `auto_pin`. None takes bundled ones.
        auto_pin: pin to FP32 what the analysis finds too inaccurate.
        tolerance: error of the largest value of an output that `auto_pin` allows, relative.
        progress: called with a few words before each step.
    """

    model_or_variant: "str | Variant | nn.Module"
    output: PathLike = "."
    _: dataclasses.KW_ONLY
    name: str | None = None
    force: bool = False
    target: str = "nano"
    fp16: bool = False
    weights: PathLike | None = None
    state: str | None = None
    pretrained: bool = False
    image_size: int | tuple[int, int] | str | None = None
    batch: int = 1
    num_classes: int | None = None
    labels: PathLike | Sequence[str] | None = None
    activation: str | None = None
    threshold: float | None = None
    outputs: str | None = None
    input: str = "float"
    mean: Color | None = None
    std: Color | None = None
    interpolation: str | None = None
    fit: str | None = None
    pad_color: Color | None = None
    crop_pct: float | None = None
    resize_size: int | None = None
    channel_order: str | None = None
    formulation: str | None = None
    layout: str | None = None
    padding: str | None = None
    fold_normalization: bool = False
    seed: int = 0
    precision_mode: str | None = None
    io: str = "fp32"
    nms: str = "host"
    drift: bool = False
    samples: PathLike | None = None
    auto_pin: bool = False
    tolerance: float = TOLERANCE
    progress: Progress = dataclasses.field(default=no_progress, repr=False, compare=False)

    def resolve(self) -> ResolvedExport:
        """Return the request with every name looked up and every default filled in, once the options go together.

        Raises:
            UsageError: an unknown name, a module of no known family, an impossible size, a folder that cannot be
                written.
            BadInputError: a labels file that cannot be read, or of another number of classes.
            IncompatibleError: FP16 in a way that the target's TensorRT does not have.
        """
        require_allowed(self, CHOICES, {**WHOLE_NUMBERS, **FRACTIONS})
        module, variant = self._module_and_variant()
        target = get_target(self.target)
        self._require_consistent_options(variant)
        height, width = variant.image_size, variant.image_size
        if self.image_size is not None:
            height, width = parse_image_size(self.image_size)
        require_size(height, width)
        if self.nms == "plugin":
            _require_plugin(variant, target, self.io)
        if self.input != "float":
            require_pixels(target)
        folder, stem = place_of(os.fspath(self.output), self.name, variant.name)
        require_writable(Path(folder))
        labels = names_of(self.labels, self._known_classes(variant))
        return ResolvedExport(
            name=stem, folder=Path(folder), force=self.force, variant=variant, target=target,
            precision=precision_for(target, self.fp16, self.precision_mode, self.io), io=self.io,
            source=WeightsSource(module, _text(self.weights), self.pretrained, self.seed, self.state),
            shape=(self.batch, 3, height, width), num_classes=self.num_classes, labels=labels,
            labels_source=labels_source(self.labels), activation=self.activation,
            threshold=self.threshold,
            form=GraphForm(self.outputs or _OUTPUTS.get(variant.task, ""), self.input != "float",
                           self.input == "uint8-nhwc"),
            preprocessing=self._preprocessing(variant.task), formulation=self._formulation(target),
            fold_normalization=self.fold_normalization,
            nms_plugin=self.nms == "plugin",
            drift=DriftOptions(self.drift or self.auto_pin, self.auto_pin, _text(self.samples), self.tolerance))

    def _formulation(self, target: Target) -> Formulation:
        single = {axis: value for axis, value in (("layout", self.layout), ("padding", self.padding)) if value}
        if self.formulation is None:
            return parse_formulation(target.formulation).replaced(**single)
        if single:
            raise UsageError(f"--formulation names every choice, and --{' and --'.join(single)} would change one",
                             "leave one of them out")
        return parse_formulation(self.formulation)

    def _module_and_variant(self) -> "tuple[nn.Module | None, Variant]":
        if isinstance(self.model_or_variant, str):
            return None, get_variant(self.model_or_variant)
        if isinstance(self.model_or_variant, Variant):
            return None, self.model_or_variant
        from edgenext_deploy.export.live_module import variant_of

        return self.model_or_variant, variant_of(self.model_or_variant)

    def _known_classes(self, variant: Variant) -> int | None:
        """Return the number of classes as far as it is known before the weights are loaded."""
        if self.num_classes is not None or self.weights is not None:
            return self.num_classes
        return variant.num_classes if isinstance(self.model_or_variant, (str, Variant)) else None

    def _preprocessing(self, task: str) -> PreprocessingOptions:
        return options_of(
            task, image_size=None if self.image_size is None else parse_image_size(self.image_size), mean=self.mean,
            std=self.std, interpolation=self.interpolation, fit=self.fit, pad_color=self.pad_color,
            crop_pct=self.crop_pct, resize_size=self.resize_size, channel_order=self.channel_order)

    def _require_consistent_options(self, variant: Variant) -> None:
        if not isinstance(self.model_or_variant, (str, Variant)) and (self.weights or self.pretrained):
            raise UsageError("weights and pretrained are for variants; a module is exported with the weights it has",
                             "load them into the module, or give the variant's name")
        if self.weights and self.pretrained:
            raise UsageError("--weights and --pretrained exclude each other", "give one of them")
        if self.state is not None and not self.weights:
            raise UsageError("--state says which part of a --weights file to take, and --weights is missing",
                             "add --weights FILE, or leave it out")
        if self.activation is not None and variant.task != "classification":
            raise UsageError(f"--activation is for classifiers; {variant.name} is for {variant.task}", "leave it out")
        for name, given in (("--outputs", self.outputs is not None), ("--threshold", self.threshold is not None)):
            if given and variant.task != "classification":
                raise UsageError(f"{name} is for classifiers; {variant.name} is for {variant.task}", "leave it out")
        for name, given in (("--labels", self.labels is not None), ("--activation", self.activation is not None),
                            ("--threshold", self.threshold is not None)):
            if self.outputs == "features" and given:
                raise UsageError(f"{name} is about classes, and --outputs features has none", f"leave {name} out")
        require_fp16_to_analyse(self)


def precision_for(target: Target, fp16: bool, mode: str | None = None, io: str = "fp32") -> Precision:
    """Return how the target gets its precision; pins and counts come later.

    Args:
        target: where the engine will run.
        fp16: whether ``--fp16`` was given.
        mode: ``flag`` or ``typed`` to override the target's own, None otherwise.
        io: type of the engine's inputs and outputs.

    Raises:
        UsageError: options that only mean something together with others.
        IncompatibleError: the target's TensorRT has no such mode.
    """
    if not fp16:
        if mode is not None or io != "fp32":
            raise UsageError("--precision-mode and --io fp16 say how to do --fp16, which is missing", "add --fp16")
        return Precision("fp32", "none")
    chosen = mode or target.precision_mode
    refusal = refusal_of_mode(target, chosen)
    if refusal is not None:
        other = "typed" if chosen == "flag" else "flag"
        possible = refusal_of_mode(target, other) is None
        raise IncompatibleError(
            f"{target.name} ({target.title}) cannot get FP16{f' in mode {mode!r}' if mode else ''}: {refusal}",
            f"use --precision-mode {other}" if possible else "export without --fp16, or choose another --target")
    if io == "fp16" and chosen != "typed":
        raise UsageError("--io fp16 needs a typed graph; with the builder flag inputs and outputs are FP32",
                         "leave --io out, or add --precision-mode typed")
    return Precision("fp16", chosen)


def _require_plugin(variant: Variant, target: Target, io: str) -> None:
    if variant.task != "detection":
        raise UsageError(f"--nms plugin is for detectors; {variant.name} is for {variant.task}", "leave it out")
    if not target.has_plugins:
        raise UsageError(f"--nms plugin needs TensorRT's plugins, which target {target.name} ({target.title}) does not "
                         "have", "leave it out: the host suppresses")
    if io == "fp16":
        raise UsageError("--nms plugin takes boxes and scores in FP32, in which coordinates are exact enough",
                         "leave out --io fp16")


def require_writable(folder: Path) -> None:
    """Raise UsageError if files can plainly not be written there."""
    reason = why_not_writable(str(folder))
    if reason is not None:
        raise UsageError(f"cannot write to {folder}: {reason}", "choose another --output")


def names_of(labels: "PathLike | Sequence[str] | None", classes: int | None) -> tuple[str, ...] | None:
    """Return the names of the classes that an option gives, None for none; raise if they are not `classes`."""
    if labels is None:
        return None
    if isinstance(labels, (str, os.PathLike)):
        return load_labels(os.fspath(labels), classes)
    if not all(isinstance(name, str) and name for name in labels):
        raise UsageError("labels must be a file or a list of names, none of them empty", "pass one name for each class")
    require_count(labels, classes, "labels")
    return tuple(labels)


def labels_source(labels: "PathLike | Sequence[str] | None") -> str:
    """Return where the names of the classes come from, for the manifest."""
    if labels is None:
        return "none"
    if not isinstance(labels, (str, os.PathLike)):
        return "a list"
    return str(labels) if labels in SHIPPED else Path(labels).name


def _text(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)
