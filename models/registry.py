"""The registry: every variant by name, with a frozen config. Pure data, no torch.

Sources: EdgeNeXt configs from github.com/mmaaz60/EdgeNeXt `models/model.py` at 3884504 (not from Table 1
of the paper, whose depths for XXS differ from the released code); MobileViT from timm 1.0.31 and
apple/ml-cvnets v0.1, which agree.
"""
import difflib
from dataclasses import dataclass
from typing import Any

from edgenext_deploy.errors import UsageError

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_RELEASES = "https://github.com/mmaaz60/EdgeNeXt/releases/download/"
_HUB = "https://huggingface.co/timm/"


@dataclass(frozen=True)
class EdgeNeXtConfig:
    """An EdgeNeXt, stage by stage (four stages, strides 4, 8, 16, 32).

    Attributes:
        dims: channels.
        depths: blocks in all; the last `sdta_blocks` of them are SDTA encoders, the others conv encoders.
        kernel_sizes: of the conv encoders' depthwise convolution.
        heads: of the cross-covariance attention.
        splits: channel splits of an SDTA encoder; the last one is passed on as it is.
        position: whether the stage's SDTA encoders add the Fourier position code.
        norm: ``layer`` or ``batch`` (the BN-HS variants, which also use hard-swish for GELU).
        expansion: hidden width of the MLPs over `dims`.
        layer_scale: initial value of the learned scales.
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


@dataclass(frozen=True)
class MobileViTConfig:
    """A MobileViT, stage by stage (five stages after the stem, strides 2, 4, 8, 16, 32).

    Attributes:
        dims: channels of the stem and of the five stages.
        transformer_dims: token width of the MobileViT blocks in the last three stages.
        transformer_depths: transformer layers in those blocks.
        expansion: of the inverted residuals.
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
class Checkpoint:
    """A published weights file.

    Attributes:
        file: name under which it is kept in the cache.
        url: where it is published.
        layout: ``official`` or ``timm``, the naming of its keys.
        top1: published ImageNet-1k top-1 accuracy in percent.
        crop_pct: of the evaluation that gave `top1`.
        source: who says so.
    """

    file: str
    url: str
    layout: str
    top1: float
    crop_pct: float
    source: str


@dataclass(frozen=True)
class Variant:
    """A name in the registry. The first of `checkpoints` is what ``--pretrained`` loads."""

    name: str
    config: EdgeNeXtConfig | MobileViTConfig
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    checkpoints: tuple[Checkpoint, ...]
    image_size: int = 256
    task: str = "classification"

    @property
    def family(self) -> str:
        """``edgenext`` or ``mobilevit``."""
        return "edgenext" if isinstance(self.config, EdgeNeXtConfig) else "mobilevit"


def _official(path: str, top1: float, crop_pct: float = 0.875) -> Checkpoint:
    file = path.rsplit("/", 1)[1]
    return Checkpoint(file, _RELEASES + path, "official", top1, crop_pct, "EdgeNeXt README")


def _edgenext(name: str, config: EdgeNeXtConfig, *checkpoints: Checkpoint) -> Variant:
    return Variant(name, config, _IMAGENET_MEAN, _IMAGENET_STD, 0.875, checkpoints)


def _mobilevit(name: str, top1: float, config: MobileViTConfig) -> Variant:
    tag = name + ".cvnets_in1k"
    checkpoint = Checkpoint(tag + ".safetensors", _HUB + tag + "/resolve/main/model.safetensors", "timm", top1, 0.9,
                            "timm results-imagenet.csv")
    return Variant(name, config, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (checkpoint,))


_XXS: dict[str, Any] = {"dims": (24, 48, 88, 168), "depths": (2, 2, 6, 2), "heads": (4, 4, 4, 4)}
_XS: dict[str, Any] = {"dims": (32, 64, 100, 192), "depths": (3, 3, 9, 3), "heads": (4, 4, 4, 4)}
_S: dict[str, Any] = {"dims": (48, 96, 160, 304), "depths": (3, 3, 9, 3)}
_B: dict[str, Any] = {"dims": (80, 160, 288, 584), "depths": (3, 3, 9, 3)}

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        _edgenext("xxs", EdgeNeXtConfig(**_XXS), _official("v1.0/edgenext_xx_small.pth", 71.23)),
        _edgenext("xs", EdgeNeXtConfig(**_XS), _official("v1.0/edgenext_x_small.pth", 74.96)),
        _edgenext("s", EdgeNeXtConfig(**_S),
                  _official("v1.0/edgenext_small.pth", 79.41),
                  _official("v1.1/edgenext_small_usi.pth", 81.07, 0.95)),
        _edgenext("b", EdgeNeXtConfig(**_B),
                  _official("v1.2/edgenext_base.pth", 82.47),
                  _official("v1.2/edgenext_base_usi.pth", 83.68, 0.95),
                  _official("v1.21/edgenext_base_IN21K.pth", 83.31)),
        _edgenext("xxs_bn_hs", EdgeNeXtConfig(**_XXS, norm="batch"),
                  _official("v1.0/edgenext_xx_small_bn_hs.pth", 70.33)),
        _edgenext("xs_bn_hs", EdgeNeXtConfig(**_XS, norm="batch"),
                  _official("v1.0/edgenext_x_small_bn_hs.pth", 74.87)),
        _edgenext("s_bn_hs", EdgeNeXtConfig(**_S, norm="batch"),
                  _official("v1.0/edgenext_small_bn_hs.pth", 78.39)),
        _mobilevit("mobilevit_xxs", 68.936,
                   MobileViTConfig((16, 16, 24, 48, 64, 80), (64, 80, 96), 320, expansion=2)),
        _mobilevit("mobilevit_xs", 74.618, MobileViTConfig((16, 32, 48, 64, 80, 96), (96, 120, 144), 384)),
        _mobilevit("mobilevit_s", 78.298, MobileViTConfig((16, 32, 64, 96, 128, 160), (144, 192, 240), 640)),
    )
}


def get_variant(name: str) -> Variant:
    """Return the variant of that name.

    Raises:
        UsageError: no such variant; the message suggests the nearest.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    near = difflib.get_close_matches(name, VARIANTS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"unknown variant {name!r}{hint}", "choose one of: " + ", ".join(VARIANTS))
