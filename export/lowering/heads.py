"""Lowering of the detection and segmentation heads; both work on maps in either layout of the backbone."""
import torch
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.dispatch import lower_backbone, lower_network
from edgenext_deploy.export.lowering.elementwise_ops import Add, AddConstant, Exp, MultiplyConstant, Relu, Subtract
from edgenext_deploy.export.lowering.ops import Conv, Op, Softmax
from edgenext_deploy.export.lowering.shape_ops import (
    ArgMax,
    Concat,
    GlobalMean,
    Reshape,
    ResizeBilinear,
    Slice,
    Split,
    Transpose,
)
from edgenext_deploy.models.definitions.deeplab import DeepLabV3, PyramidPooling
from edgenext_deploy.models.definitions.ssdlite import LevelHead, SSDLite

_BOXES = "box decoding: FP16 has steps of a sixth of a pixel at 320, and the exponential overflows"


def lower_sequence(sequence: nn.Module, context: LoweringContext) -> nn.Sequential:
    """Return convolutions, batch norms, means and ReLUs in their order, every batch norm folded.

    The layers are named by what they are, with words that `edgenext_deploy.node_names` knows.

    Raises:
        TypeError: anything else.
    """
    lowered = nn.Sequential()

    def append(word: str, operator: Op) -> None:
        count = sum(name.rstrip("0123456789") == word for name, _ in lowered.named_children())
        lowered.add_module(word if not count else f"{word}{count + 1}", operator)

    layers = list(_leaves(sequence))
    for layer, after in zip(layers, [*layers[1:], None]):
        if isinstance(layer, nn.Conv2d):
            weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
            if isinstance(after, nn.BatchNorm2d):
                context.fired("batch_norm_folded")
                weight, bias = algebra.affine_after_conv(weight, bias, *algebra.batch_norm_affine(after))
            append("dwconv" if layer.groups > 1 else "pwconv" if layer.kernel_size == (1, 1) else "conv_kxk", Conv(
                weight, bias, layer.stride[0], int(layer.padding[0]), layer.dilation[0], layer.groups))
        elif isinstance(layer, nn.ReLU):
            append("act", Relu())
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            append("pool", GlobalMean())
        elif not isinstance(layer, nn.BatchNorm2d):
            raise TypeError(f"no lowering for {type(layer).__name__} in a head")
    return lowered


def _leaves(module: nn.Module) -> list[nn.Module]:
    children = list(module.children())
    return [leaf for child in children for leaf in _leaves(child)] if children else [module]


class LoweredLevelHead(nn.Module):
    """The predictions of one level as rows: one for each anchor, in the anchors' order."""

    def __init__(self, head: LevelHead, size: tuple[int, int], row: int, context: LoweringContext) -> None:
        super().__init__()
        anchors = head.predict.out_channels // row * size[0] * size[1]
        parts = [part for part in (head.project, head.depthwise, head.predict) if part is not None]
        self.predict = lower_sequence(nn.Sequential(*parts), context)
        self.cells_last = Transpose(0, 2, 3, 1)
        self.rows = Reshape(context.batch, anchors, row)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, anchors, 4 + 1 + classes]`."""
        out: Tensor = self.rows(self.cells_last(self.predict(x)))
        return out


class LoweredBoxes(nn.Module):
    """Box codes to boxes, always in FP32."""

    def __init__(self, model: SSDLite, context: LoweringContext) -> None:
        super().__init__()
        context.fired("boxes_decoded")
        priors, config = model.anchors(model.level_sizes(context.height, context.width))[None], model.config
        self.split = Split([2, 2], axis=2)
        self.shift = MultiplyConstant(config.centre_variance * priors[..., 2:], _BOXES)
        self.centre = AddConstant(priors[..., :2], _BOXES)
        self.growth = MultiplyConstant(torch.tensor(config.size_variance, dtype=priors.dtype), _BOXES)
        self.exp = Exp(_BOXES)
        self.extent = MultiplyConstant(priors[..., 2:] / 2, _BOXES)
        self.low, self.high = Subtract(_BOXES), Add(_BOXES)
        self.corners = Concat(axis=2)

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes `[B, anchors, 4]` to left, top, right, bottom `[B, anchors, 4]`, in parts of the input."""
        shift, growth = self.split(codes)
        centre = self.centre(self.shift(shift))
        half = self.extent(self.exp(self.growth(growth)))
        boxes: Tensor = self.corners(self.low(centre, half), self.high(centre, half))
        return boxes


class LoweredSSDLite(nn.Module):
    """Backbone, levels, heads, and what turns their answers into boxes and scores."""

    def __init__(self, model: SSDLite, context: LoweringContext) -> None:
        super().__init__()
        classes = model.num_classes + 1
        self.backbone = lower_backbone(model.backbone, context, maps=2)
        self.extra = nn.ModuleList(lower_sequence(extra, context) for extra in model.extra)
        self.heads = nn.ModuleList(
            LoweredLevelHead(head, size, 4 + classes, context)
            for head, size in zip(model.heads.children(), model.level_sizes(context.height, context.width))
            if isinstance(head, LevelHead))
        self.join = Concat(axis=1)
        self.split = Split([4, classes], axis=2)
        self.boxes = LoweredBoxes(model, context)
        self.softmax = Softmax(axis=2)
        self.without_background = Slice(1, classes, axis=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map `[B, 3, H, W]` to boxes `[B, anchors, 4]` and scores `[B, anchors, classes]`."""
        levels = list(self.backbone(image))
        for extra in self.extra:
            levels.append(extra(levels[-1]))
        codes, logits = self.split(self.join(*(head(level) for head, level in zip(self.heads, levels))))
        return self.boxes(codes), self.without_background(self.softmax(logits))


class LoweredPyramidPooling(nn.Module):
    """Branches side by side; the pooled one is the same everywhere, so it joins behind the projection as a bias."""

    def __init__(self, pyramid: PyramidPooling, context: LoweringContext) -> None:
        super().__init__()
        context.fired("pooled_branch_added")
        context.fired("batch_norm_folded")
        self.branches = nn.ModuleList(lower_sequence(branch, context) for branch in pyramid.branches)
        self.pool = GlobalMean()
        self.pooled = lower_sequence(pyramid.pooled, context)
        conv, norm, _ = pyramid.project.children()
        assert isinstance(conv, nn.Conv2d)
        weight, bias = algebra.affine_after_conv(conv.weight.detach(), None, *algebra.batch_norm_affine(norm))
        spread = weight.shape[1] - weight.shape[0]
        self.concat = Concat()
        self.project = Conv(weight[:, :spread].contiguous(), bias)
        self.project_pooled = Conv(weight[:, spread:].contiguous(), None)
        self.add = Add()
        self.act = Relu()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, width, H, W]`."""
        spread = self.project(self.concat(*(branch(x) for branch in self.branches)))
        out: Tensor = self.act(self.add(spread, self.project_pooled(self.pooled(self.pool(x)))))
        return out


class LoweredDeepLabV3(nn.Module):
    """Backbone, pyramid, classifier, resize to the input's size, and the index of the largest logit."""

    def __init__(self, model: DeepLabV3, context: LoweringContext) -> None:
        super().__init__()
        weight, bias = model.classifier.weight.detach(), model.classifier.bias
        self.backbone = lower_backbone(model.backbone, context, maps=1)
        self.aspp = LoweredPyramidPooling(model.aspp, context)
        self.classifier = Conv(weight, None if bias is None else bias.detach())
        self.resize = ResizeBilinear(context.batch, weight.shape[0], context.height, context.width)
        self.classes = ArgMax()

    def logits(self, image: Tensor) -> Tensor:
        """Map `[B, 3, H, W]` to logits `[B, classes, H, W]`."""
        (features,) = self.backbone(image)
        logits: Tensor = self.resize(self.classifier(self.aspp(features)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Map `[B, 3, H, W]` to classes int32 `[B, H, W]`."""
        classes: Tensor = self.classes(self.logits(image))
        return classes


lower_network.register(SSDLite, LoweredSSDLite)
lower_network.register(DeepLabV3, LoweredDeepLabV3)
