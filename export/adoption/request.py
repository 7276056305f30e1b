"""What an adoption is asked for, and what that stands for."""
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.limits import BOX_FORMATS, BOX_UNITS, CHOICES, FRACTIONS, TASKS, TOLERANCE
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.export.preprocessing_request import Color, options_of
from edgenext_deploy.export.request import PathLike, Progress, no_progress
from edgenext_deploy.export.request_checks import require_allowed, require_fp16_to_analyse

if TYPE_CHECKING:
    import onnx


@dataclasses.dataclass(frozen=True)
class AdoptRequest:
    """The arguments of `adopt`, which are the options of ``edgenext-export adopt``.

    Attributes:
        model: path of an ONNX file, or an ``onnx.ModelProto``, which stays as it is.
        output: folder for the files, or the graph's own path, if it ends in ``.onnx``; never the file itself.
        name: stem of the files' names. None takes the file's with the target's behind it.
        task: what the network does: ``classification``, ``detection``, ``segmentation`` or ``features``.
        input: ``NAME=1x3x224x224`` or ``1x3x224x224``, sizes that the file leaves open.
        logits: name of the output, where the file has several.
        boxes: name of a detector's output with boxes `[B, N, 4]`.
        scores: name of a detector's output with probabilities `[B, N, classes]`.
        box_format: ``ltrb`` (left, top, right, bottom) or ``cxcywh`` (centre, width and height).
        box_unit: ``part`` (of the input's sides, 0..1) or ``pixel`` (of the input).
        background: a detector's first class is the background.
        force: replace files that are not an export of the same file, target and precision.
        target: where the engine will run, a name in `targets.TARGETS`.
        fp16: aim at an FP16 engine.
        image_size: height and width of the image in pixels, where the file leaves them open: 256, ``(224, 320)``, or as
            the command takes it (``"224x320"``).
        labels: the class names, or the file that has them, see `networks.labels.load_labels`. None takes those of
            ImageNet, COCO or VOC where the number of classes is theirs.
        activation: what makes probabilities of a classifier's logits: ``softmax`` or ``sigmoid``. None takes what the
            file ends in, else softmax.
        threshold: of a sigmoid: the probability from which a class counts as present, 0..1. None takes 0.5.
        mean: three numbers for R, G and B in units of the 0..1 range, or text. None takes ImageNet's.
        std: as `mean`.
        interpolation: Pillow's filter: ``bicubic``, ``bilinear``, ``nearest`` or ``lanczos``.
        fit: ``crop``, ``stretch`` or ``letterbox``, see `preprocess.placement`.
        pad_color: of the border of a letterbox, three whole numbers 0..255 for R, G and B, or text.
        crop_pct: share of the resized photo that is cropped, 0.1..1. None takes 0.875.
        resize_size: in place of `crop_pct`, the shorter side of the resized photo in pixels, before the crop.
        channel_order: of the network's input, ``rgb`` or ``bgr``; the other options stay in RGB order.
        precision_mode: how FP16 is asked for: ``flag`` (FP32 graph, FP16 builder flag) or ``typed`` (FP16 graph).
            None takes the target's.
        io: type of a typed graph's inputs and outputs, ``fp32`` or ``fp16``.
        drift: analyse on the CPU what FP16 does to every layer.
        samples: folder with photos for `drift` and `auto_pin`. None takes bundled ones.
        auto_pin: pin to FP32 what the analysis finds too inaccurate.
        tolerance: error of the largest value of an output that `auto_pin` allows, relative.
        progress: called with a few words before each step.
    """

    model: "PathLike | onnx.ModelProto"
    output: PathLike = "."
    _: dataclasses.KW_ONLY
    name: str | None = None
    force: bool = False
    target: str = "nano"
    task: str = "classification"
    fp16: bool = False
    input: str | None = None
    image_size: Union[int, tuple[int, int], str, None] = None
    logits: str | None = None
    boxes: str | None = None
    scores: str | None = None
    box_format: str = "ltrb"
    box_unit: str = "part"
    background: bool = False
    labels: PathLike | Sequence[str] | None = None
    activation: str | None = None
    threshold: float | None = None
    mean: Color | None = None
    std: Color | None = None
    interpolation: str | None = None
    fit: str | None = None
    pad_color: Color | None = None
    crop_pct: float | None = None
    resize_size: int | None = None
    channel_order: str | None = None
    precision_mode: str | None = None
    io: str = "fp32"
    drift: bool = False
    samples: PathLike | None = None
    auto_pin: bool = False
    tolerance: float = TOLERANCE
    progress: Progress = dataclasses.field(default=no_progress, repr=False, compare=False)

    def preprocessing(self) -> PreprocessingOptions:
        """Return what the options say of the way from a photo to the input; raise UsageError as `options_of` does."""
        task = "classification" if self.task == "features" else self.task
        return options_of(
            task, image_size=None, mean=self.mean, std=self.std, interpolation=self.interpolation, fit=self.fit,
            pad_color=self.pad_color, crop_pct=self.crop_pct, resize_size=self.resize_size,
            channel_order=self.channel_order)

    def require_allowed(self) -> None:
        """Raise UsageError for a value that does not exist, or options that do not go together."""
        shared = ("interpolation", "fit", "channel_order", "activation", "precision_mode", "io")
        require_allowed(self, {**{name: CHOICES[name] for name in shared}, "task": TASKS, "box_format": BOX_FORMATS,
                               "box_unit": BOX_UNITS}, FRACTIONS)
        belongs = {"logits": self.task != "detection", "boxes": self.task == "detection",
                   "scores": self.task == "detection", "activation": self.task == "classification",
                   "threshold": self.task == "classification", "labels": self.task != "features"}
        for name, fits in belongs.items():
            if getattr(self, name) is not None and not fits:
                raise UsageError(f"--{name} is not for --task {self.task}", "leave it out")
        require_fp16_to_analyse(self)
