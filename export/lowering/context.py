"""The options that every lowering rule gets, and the count of the rules that fired."""
from collections import Counter
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.lowering.elementwise_ops import Gelu, HardSwish, Silu
from edgenext_deploy.export.lowering.ops import Conv, Gemm, Normalise, Op
from edgenext_deploy.export.lowering.shape_ops import Reshape, Transpose

RULES = {
    "attention_as_matmul": "attention written as MatMul and Softmax on fixed shapes",
    "explicit_padding": "padding of the 9x9 convolution as a Pad node",
    "constant_position": "Fourier position code precomputed",
    "layer_scale_folded": "layer scale folded into the projection before it",
    "norm_affine_folded": "scale and shift of a norm folded into the linear layer after it",
    "batch_norm_folded": "BatchNorm folded into the convolution or linear layer next to it",
    "attention_scale_folded": "1/sqrt(d) of the attention folded into the query projection",
    "key_behind_sum": "key of the separable attention projected behind the weighted sum: the weights add up to one",
    "resize_as_matmul": "bilinear resize of an odd map as two constant MatMuls",
    "pointwise_as_conv": "linear layer as a 1x1 convolution",
    "pointwise_as_gemm": "linear layer as one Gemm on tokens",
    "downsample_as_gemm": "2x2 convolution of stride 2 as one Gemm on patches of tokens",
    "boxes_decoded": "anchors and variances of the boxes as constants",
    "pooled_branch_added": "mean of the map added behind the projection, not spread and concatenated before it",
    "input_normalisation_folded": "input normalisation folded into the stem",
    "classifier_left_out": "classifier left out: the embedding in front of it is the output",
}


@dataclass
class LoweringContext:
    """Options of one lowering.

    Attributes:
        batch: B of the fixed input shape.
        height: input height in pixels.
        width: input width in pixels.
        layout: ``nchw`` or ``tokens``, see `targets.Target`.
        padding: ``node`` or ``attribute``, see `targets.Target`.
        input_affine: scale and shift `[3]` that turn pixels 0..255 into what the network was trained on, to be
            folded into the stem; None leaves the normalisation to the caller.
        must_fold: refuse where the stem cannot take the affine exactly; otherwise the caller looks in `applied`.
        features: the head gives the embedding in front of its classifier, `[B, C]`, and counts `classifier_left_out`.
        applied: how often each rule fired, by its name in `RULES`.
    """

    batch: int
    height: int
    width: int
    layout: str = "nchw"
    padding: str = "node"
    input_affine: tuple[Tensor, Tensor] | None = None
    must_fold: bool = True
    features: bool = False
    applied: Counter[str] = field(default_factory=Counter)

    def fired(self, rule: str) -> None:
        """Count one use of a rule."""
        if rule not in RULES:
            raise KeyError(rule)
        self.applied[rule] += 1

    def with_batch(self, batch: int) -> "LoweringContext":
        """Return the same context for another B; both count into one `applied`."""
        return replace(self, batch=batch)

    def pointwise(self, weight: Tensor, bias: Tensor) -> Op:
        """Return a linear layer over the channels in the form of the layout."""
        if self.layout == "tokens":
            self.fired("pointwise_as_gemm")
            return Gemm(weight, bias)
        self.fired("pointwise_as_conv")
        return Conv(weight[:, :, None, None], bias)

    def channel_norm(self, eps: float, weight: Tensor, bias: Tensor | None = None) -> Normalise:
        """Return a norm over the channels of the residual stream; `weight` is ones where the affine was folded."""
        return Normalise((1,) if self.layout == "nchw" else (-1,), eps, weight, bias)

    def to_map(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return the module from the residual stream to a map `[B, C, H, W]`; the identity in layout ``nchw``."""
        if self.layout == "nchw":
            return nn.Identity()
        return nn.Sequential(Reshape(self.batch, *size, channels), Transpose(0, 3, 1, 2))

    def to_tokens(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return the module from a map to the residual stream, which is `[B * H * W, C]` in layout ``tokens``."""
        if self.layout == "nchw":
            return nn.Identity()
        return nn.Sequential(Transpose(0, 2, 3, 1), Reshape(self.batch * size[0] * size[1], channels))


def fold_input(context: LoweringContext, padded: bool) -> tuple[Tensor, Tensor] | None:
    """Return the input affine for the stem convolution to take, or None.

    Raises:
        UsageError: the stem is padded and the shift is not zero: the border would need another value.
    """
    if context.input_affine is None:
        return None
    if padded and bool(context.input_affine[1].any()):
        if not context.must_fold:
            return None
        raise UsageError(
            "--fold-normalization is not exact here: the stem convolution is padded and the mean is not zero",
            "export without --fold-normalization")
    context.fired("input_normalisation_folded")
    return context.input_affine


def named(**modules: nn.Module) -> nn.Sequential:
    """Return a Sequential whose members have names, which become the names of ONNX nodes."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def activation_op(module: nn.Module) -> Op:
    """Return the operator for a reference activation.

    Raises:
        TypeError: an activation that no rule knows.
    """
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return Gelu()
    if isinstance(module, nn.Hardswish):
        return HardSwish()
    if isinstance(module, nn.SiLU):
        return Silu()
    raise TypeError(f"no lowering for activation {module!r}")
