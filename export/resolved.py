"""An export's options with every name looked up: what the steps of the export are given."""
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgenext_deploy.artifacts.manifest import Precision, TensorSpec
from edgenext_deploy.export.checks.advice import OUR_NETWORK, Advice
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.formulations import Formulation
from edgenext_deploy.models.variants.registry import Variant
from edgenext_deploy.targets import Target

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class WeightsSource:
    """Where the weights come from: a live module, a file, the published or bundled file, or a seed, in this order.

    `state` is the set of tensors to take from the file, see `models.checkpoint.load_checkpoint`.
    """

    module: "nn.Module | None"
    file: str | None
    pretrained: bool
    seed: int
    state: str | None = None


@dataclasses.dataclass(frozen=True)
class DriftOptions:
    """What the drift analysis does.

    Attributes:
        wanted: analyse at all.
        auto_pin: look for further FP32 pins.
        samples: folder with photos, None for the bundled ones.
        tolerance: relative error of the largest value of an output that `auto_pin` allows.
    """

    wanted: bool
    auto_pin: bool
    samples: str | None
    tolerance: float


@dataclasses.dataclass(frozen=True)
class GraphForm:
    """What the graph takes and gives around the network.

    Attributes:
        outputs: of a classifier ``logits``, ``probabilities`` or ``features``; empty for other tasks.
        pixels: it takes uint8 pixels 0..255, and normalises them.
        channels_last: it takes `[B, H, W, 3]`.
    """

    outputs: str
    pixels: bool = False
    channels_last: bool = False

    def input_spec(self, shape: tuple[int, int, int, int]) -> TensorSpec:
        """Return the graph's input for images of `shape` `[B, 3, H, W]`, before any typing in FP16."""
        batch, channels, height, width = shape
        return TensorSpec("image", (batch, height, width, channels) if self.channels_last else shape,
                          "uint8" if self.pixels else "float32")


@dataclasses.dataclass(frozen=True)
class ResolvedExport:
    """A request with every name looked up and every default filled in; the fields are as in `ExportRequest`.

    Attributes:
        name: stem of the names of the files.
        folder: gets the files.
        force: replace whatever is there.
        precision: without pins and counts, which come later.
        shape: of the images, `[B, 3, H, W]`.
        num_classes: None if the weights are to say.
        labels: names of the classes, as their file has them; None without a file.
        activation: ``softmax`` or ``sigmoid``; None where no option says it.
        threshold: of a sigmoid, 0..1; None where no option says it.
        form: what the graph takes and gives around the network.
        preprocessing: what the options say of it.
        formulation: None for a graph that is taken as it is given.
        labels_source: the file's name, or the shipped list's; ``none`` without a file.
        nms_plugin: also write the graph that ends in TensorRT's NMS plugin.
        advice: what to do if the graph does not pass its checks.
    """

    name: str
    folder: Path
    force: bool
    variant: Variant
    target: Target
    precision: Precision
    io: str
    source: WeightsSource
    shape: tuple[int, int, int, int]
    num_classes: int | None
    labels: tuple[str, ...] | None
    labels_source: str
    activation: str | None
    threshold: float | None
    form: GraphForm
    preprocessing: PreprocessingOptions
    formulation: Formulation | None
    fold_normalization: bool
    nms_plugin: bool
    drift: DriftOptions
    advice: Advice = OUR_NETWORK

    @property
    def typed(self) -> bool:
        """Whether the graph itself computes in FP16."""
        return self.precision.mode == "typed"

    @property
    def scaled(self) -> bool:
        """Whether norms compute in FP16, on values scaled for it."""
        return self.formulation is not None and self.formulation.norm == "scaled"

    @property
    def task(self) -> str:
        """The manifest's: an embedding is the answer of a task of its own."""
        return "features" if self.form.outputs == "features" else self.variant.task

    def with_size_of(self, said: PreprocessingOptions) -> "ResolvedExport":
        """Return the export with the input size that the weights' file says, unless an option says one."""
        if said.image_size is None or self.preprocessing.image_size is not None:
            return self
        return dataclasses.replace(self, shape=(*self.shape[:2], *said.image_size))
