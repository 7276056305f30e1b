"""Configs: what a network is made of, as frozen data. No torch.

A head's config also says what its task is: its name, the category list of the published network and the length of
that list, the stride of the backbone's last map, and the parameter that tells the number of classes.
"""
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class EdgeNeXtConfig:
    """An EdgeNeXt, stage by stage (four stages, strides 4, 8, 16, 32).

    Attributes:
        dims: channels.
        depths: number of blocks; `sdta_blocks` of them are SDTA encoders, the others conv encoders.
        kernel_sizes: side of the conv encoders' depthwise convolution.
        heads: number of heads of the cross-covariance attention.
        splits: channel splits of an SDTA encoder; the last one is passed on as it is.
        position: whether the stage's SDTA encoders add the Fourier position code.
        norm: ``layer`` or ``batch`` (the BN-HS variants, which also use hard-swish instead of GELU).
        expansion: hidden width of the MLPs over `dims`.
        layer_scale: initial value of the learned scales.
        sdta_first: SDTA encoders come first in their stage; published models have them last.
        branching: an SDTA encoder convolves its splits as a chain; without, one depthwise convolution takes all
            channels.
        sdta_kernels: side of the SDTA encoders' depthwise convolutions.
        stem_kernel: side of the stem's convolution of stride 4: 4 is a patch, a larger one overlaps and is padded.
        downsample_in_block: the first block of stages 2 to 4, a conv encoder, has the stride and changes the width;
            the authors' models have a norm and a 2x2 convolution before the stage.
        conv_bias: whether stem, downsampling and depthwise convolutions have a bias, as published with layer norms.
    """

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    sdta_blocks: tuple[int, ...] = (0, 1, 1, 1)
    kernel_sizes: tuple[int, ...] = (3, 5, 7, 9)
    heads: tuple[int, ...] = (8, 8, 8, 8)
    splits: tuple[int, ...] = (2, 2, 3, 4)
    position: tuple[bool, ...] = (False, True, False, False)
    norm: str = "layer"
    expansion: int = 4
    layer_scale: float = 1e-6
    sdta_first: bool = False
    branching: bool = True
    sdta_kernels: tuple[int, ...] = (3, 3, 3, 3)
    stem_kernel: int = 4
    downsample_in_block: bool = False
    conv_bias: bool = True

    def is_sdta(self, stage: int, block: int) -> bool:
        """Say whether a block of a stage is an SDTA encoder."""
        if self.sdta_first:
            return block < self.sdta_blocks[stage]
        return block >= self.depths[stage] - self.sdta_blocks[stage]


@dataclass(frozen=True)
class MobileViTConfig:
    """A MobileViT, stage by stage (five stages after the stem, strides 2, 4, 8, 16, 32).

    Attributes:
        dims: channels of the stem and of the five stages.
        transformer_dims: token width of the MobileViT blocks in the last three stages.
        transformer_depths: transformer layers in those blocks.
        expansion: hidden width of the inverted residuals over their input's.
        head_dim: channels of the 1x1 convolution before pooling.
        heads: attention heads.
        mlp_ratio: hidden width of the transformer MLP over the token width.
        patch: side of the square patches.
    """

    dims: tuple[int, ...]
    transformer_dims: tuple[int, ...]
    head_dim: int
    expansion: int = 4
    transformer_depths: tuple[int, ...] = (2, 4, 3)
    heads: int = 4
    mlp_ratio: int = 2
    patch: int = 2


@dataclass(frozen=True)
class MobileViTV2Config:
    """A MobileViT-v2, stage by stage (five stages after the stem, strides 2, 4, 8, 16, 32).

    Attributes:
        dims: channels of the stem and of the five stages.
        transformer_dims: channels inside the MobileViT-v2 blocks in the last three stages.
        transformer_depths: transformer layers in those blocks.
        expansion: hidden width of the inverted residuals over their input's.
        mlp_ratio: hidden width of the transformer MLP over its channels.
        patch: side of the square patches.
    """

    dims: tuple[int, ...]
    transformer_dims: tuple[int, ...]
    transformer_depths: tuple[int, ...] = (2, 4, 3)
    expansion: int = 2
    mlp_ratio: int = 2
    patch: int = 2


@dataclass(frozen=True)
class SSDLiteConfig:
    """An SSDLite head as ml-cvnets has it (v0.1, `ssd_mobilevit_small_320`), level by level.

    The paper prints 6.2 M parameters for EdgeNeXt-S and 5.7 M and 3.4 G for MobileViT-S. The six levels of the
    published config give 6,277,794, and 5,738,826 and 3.478 G: all three are what is printed if figures are cut off,
    as this paper's are elsewhere. Five levels (`SSDLITE_FIVE_LEVELS`) give 6,192,548 and 5,653,580: right only if
    rounded, and then 3.478 G would be 3.5. So six it is; which ones the authors used is not documented.

    Attributes:
        strides: stride of each level; 16 and 32 come from the backbone, larger ones from a chain of separable
            convolutions of stride 2, and 0 is the last map pooled to one cell.
        widths: channels of each level where its boxes are predicted.
        ratios: aspect ratios of each level's anchors besides 1; each gives two anchors.
        scales: size of the anchors of the first and of the last level's next, in parts of the input.
        centre_variance: scale of the code of a box's centre.
        size_variance: scale of the code of a box's width and height.
        score_threshold: only what scores more counts as a detection.
        iou_threshold: overlap, 0..1, above which the class-wise suppression removes the lower score.
        candidates: at most this many boxes of each class enter the suppression.
        keep: at most this many detections of an image are kept.
    """

    task: ClassVar[str] = "detection"
    labels: ClassVar[str] = "coco80"
    num_classes: ClassVar[int] = 80  # without the background
    output_stride: ClassVar[int] = 32
    class_weight: ClassVar[str] = "heads.0.predict.weight"

    strides: tuple[int, ...] = (16, 32, 64, 128, 256, 0)
    widths: tuple[int, ...] = (512, 256, 256, 128, 128, 64)
    ratios: tuple[tuple[float, ...], ...] = ((2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2,))
    scales: tuple[float, float] = (0.1, 1.05)
    centre_variance: float = 0.1
    size_variance: float = 0.2
    score_threshold: float = 0.01
    iou_threshold: float = 0.5
    candidates: int = 400
    keep: int = 200

    def anchors_per_cell(self, level: int) -> int:
        """Return how many anchors a cell of a level has: a small square, a large one, two for each ratio."""
        return 2 + 2 * len(self.ratios[level])

    def classes_of(self, rows: int) -> int:
        """Return the number of classes for a first dimension of `class_weight`, 0 or less if it fits none.

        Each anchor has four numbers for the box, one for the background and one for each class.
        """
        outputs, left = divmod(rows, self.anchors_per_cell(0))
        return 0 if left else outputs - 5


SSDLITE_FIVE_LEVELS = SSDLiteConfig(
    strides=(16, 32, 64, 128, 0), widths=(512, 256, 256, 128, 64), ratios=((2, 3), (2, 3), (2, 3), (2, 3), (2,)))


@dataclass(frozen=True)
class DeepLabConfig:
    """A DeepLabv3 head as ml-cvnets v0.1 has it, at output stride 16.

    The paper prints 6.5 M parameters and 8.7 G for EdgeNeXt-S at 512. Of the settings of that code, this is the one
    that gives both: 128 channels, convolutions that are not separable, and stage 4's 2x2 convolution with stride 1
    and padding 1, so a map of 33x33. For MobileViT-S, 256 channels give the printed 13.7 G (13.857 G). The rates are
    ml-cvnets' for this stride; they change no count.

    Attributes:
        width: channels of the pyramid's branches and of their sum.
        rates: dilations of the 3x3 branches.
    """

    task: ClassVar[str] = "segmentation"
    labels: ClassVar[str] = "voc21"
    num_classes: ClassVar[int] = 21  # with the background
    output_stride: ClassVar[int] = 16
    class_weight: ClassVar[str] = "classifier.weight"

    width: int = 128
    rates: tuple[int, ...] = (6, 12, 18)

    def classes_of(self, rows: int) -> int:
        """Return the number of classes for a first dimension of `class_weight`."""
        return rows
