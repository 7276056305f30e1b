"""The options that every lowering rule gets, and the count of the rules that fired."""
from collections import Counter
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.lowering.elementwise_ops import AddConstant, Gelu, HardSwish, Silu
from edgenext_deploy.export.lowering.norms import Normalise, NormScaling, ScaledNormalise
from edgenext_deploy.export.lowering.ops import Conv, Gemm, MatMulConstant, Op, Softmax
from edgenext_deploy.export.lowering.scales import Scaled
from edgenext_deploy.export.lowering.shape_ops import Reshape, Transpose
from edgenext_deploy.formulations import Formulation

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
    "pointwise_as_matmul": "linear layer as MatMul and Add",
    "norm_in_one_pass": "both statistics of a norm taken from its input",
    "norm_on_channels_last": "norm of a map between two Transposes, as LayerNormalization of its pixels",
    "norm_behind_linear": "deviation of a norm divided by behind its linear layer, the mean folded into the weight",
    "norm_as_instances": "norm as InstanceNormalization of single tokens",
    "norm_scaled": "norm in FP16, its input scaled by a power of two",
    "norms_on_scores": "scores of the attention divided by the norms of Q and K, not Q and K themselves",
    "rows_scaled": "rows of Q and K scaled by powers of two, for norms and scores in FP16",
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
        formulation: the form of the network, see `formulations.AXES`.
        input_affine: scale and shift `[3]` that turn pixels 0..255 into what the network was trained on, to be
            folded into the stem; None leaves the normalisation to the caller.
        must_fold: refuse where the stem cannot take the affine exactly; otherwise the caller looks in `applied`.
        features: the head gives the embedding in front of its classifier, `[B, C]`, and counts `classifier_left_out`.
        applied: how often each rule fired, by its name in `RULES`.
        scalings: of the lowered module, for `scales.set_scales`; one lowering fills them.
    """

    batch: int
    height: int
    width: int
    formulation: Formulation = field(default_factory=Formulation)
    input_affine: tuple[Tensor, Tensor] | None = None
    must_fold: bool = True
    features: bool = False
    applied: Counter[str] = field(default_factory=Counter)
    scalings: list[Scaled] = field(default_factory=list)

    def fired(self, rule: str) -> None:
        """Count one use of a rule."""
        if rule not in RULES:
            raise KeyError(rule)
        self.applied[rule] += 1

    def with_batch(self, batch: int) -> "LoweringContext":
        """Return the same context for another B; both count into one `applied` and share `scalings`."""
        return replace(self, batch=batch)

    @property
    def on_tokens(self) -> bool:
        """Whether the residual stream is tokens."""
        return self.formulation.layout == "tokens"

    @property
    def scaled(self) -> bool:
        """Whether norms and attention compute in FP16, on scaled values."""
        return self.formulation.norm == "scaled"

    def pointwise(self, weight: Tensor, bias: Tensor) -> nn.Module:
        """Return a linear layer over the channels of the residual stream."""
        form = self.formulation.linear
        self.fired(f"pointwise_as_{form}")
        if form == "gemm":
            return Gemm(weight, bias)
        if form == "conv":
            return Conv(weight[:, :, None, None], bias)
        if self.on_tokens:
            return named(product=MatMulConstant(weight.T.contiguous(), left=False), shift=AddConstant(bias))
        return named(product=MatMulConstant(weight, left=True), shift=AddConstant(bias[:, None]))

    def channel_norm(self, eps: float, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
        """Return a norm over the channels of the residual stream; `weight` is ones where the affine was folded."""
        if self.formulation.norm == "channelslast":
            self.fired("norm_on_channels_last")
            return named(transpose=Transpose(0, 2, 3, 1), norm=Normalise((-1,), eps, weight, bias),
                         transpose_back=Transpose(0, 3, 1, 2))
        spatial = len(self.stream_shape(1, (1, 1))) - 2
        return self.norm((-1,) if self.on_tokens else (1,), eps, weight, bias, spatial)

    def norm(
        self, axes: tuple[int, ...], eps: float, weight: Tensor, bias: Tensor | None = None, spatial: int = 2
    ) -> Normalise:
        """Return a norm over any axes, see `Normalise`, in its form."""
        form = self.formulation.norm
        if form == "scaled":
            self.fired("norm_scaled")
            norm = ScaledNormalise(axes, eps, weight, bias, spatial=spatial)
            self.scalings.append(NormScaling(norm))
            return norm
        if form == "channelslast":
            form = "layernorm"
        if form == "onepass":
            self.fired("norm_in_one_pass")
        if form == "instance" and axes == (-1,):
            self.fired("norm_as_instances")
        return Normalise(axes, eps, weight, bias, form, spatial)

    def scale_in(self, convolution: nn.Module) -> None:
        """Let a convolution take the scale of the norm that was made last, which alone takes its output."""
        scaling = self.scalings[-1] if self.scalings else None
        if isinstance(scaling, NormScaling) and isinstance(convolution, Conv):
            scaling.source = convolution

    def softmax(self, axis: int) -> Softmax:
        """Return the softmax of an attention."""
        return Softmax(axis, fp16=self.scaled)

    def stream_shape(self, channels: int, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the residual stream for a map of `size`.

        It is `[B * H * W, C]`, `[B, C, H, W]`, or, where a linear layer is a MatMul on a map, `[B, C, H * W]`.
        """
        if self.on_tokens:
            return (self.batch * size[0] * size[1], channels)
        if self.formulation.linear == "matmul":
            return (self.batch, channels, size[0] * size[1])
        return (self.batch, channels, *size)

    def to_map(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return the module from the residual stream to a map `[B, C, H, W]`."""
        if self.on_tokens:
            return nn.Sequential(Reshape(self.batch, *size, channels), Transpose(0, 3, 1, 2))
        return nn.Identity() if self.formulation.linear == "conv" else nn.Sequential(
            Reshape(self.batch, channels, *size))

    def to_tokens(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return the module from a map to the residual stream."""
        shape = Reshape(*self.stream_shape(channels, size))
        if self.on_tokens:
            return nn.Sequential(Transpose(0, 2, 3, 1), shape)
        return nn.Identity() if self.formulation.linear == "conv" else nn.Sequential(shape)


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
