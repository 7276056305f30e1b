"""The table of network families: one record holds all that the toolkit must know of a family. No torch.

A new family is one file. It defines a frozen config, the reference module and its lowering, and calls
`register_family`, `registry.register_variant` and the functions in `edgenext_deploy.export.lowering.dispatch`.
`docs/extending.md` walks through one; the entries at the end of this file are made by the same call.
"""
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgenext_deploy.errors import UsageError
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig, MobileViTConfig, MobileViTV2Config
from edgenext_deploy.models.variants.key_layouts import KeyLayout

if TYPE_CHECKING:
    from torch import nn

    Builder = Callable[[Any, int], nn.Module]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Family:
    """A network family: how its modules are built, loaded and lowered.

    What needs torch is given either as a callable or as the text ``package.module:name``, imported on first use.

    Attributes:
        name: short and unique, such as ``edgenext``.
        title: for people, such as ``EdgeNeXt``.
        config: class of the variants' configs: frozen, hashable, used by no other family. With a `backbone`, its
            `dims` ends in the channels of the maps of strides 16 and 32.
        classifier: builds the reference module from a config and the number of classes. The module keeps the config
            as `config`; `forward` maps `[B, 3, H, W]` to logits `[B, classes]`.
        backbone: builds what detectors and segmenters start with from a config and the stride of its last map, 32 or
            16. The module keeps the config as `config`; `forward_features` returns its maps, finest first. None: the
            family has classifiers only.
        class_weight: the classifier's parameter whose first dimension is the number of classes.
        lowering: module that registers the lowering, imported on first use; empty if that has happened already, as
            in the file of a family of one's own.
        key_layouts: how the keys of published checkpoints differ from the reference module's.
        mean: default of the variants, RGB in 0..1.
        std: default of the variants, RGB in 0..1.
        crop_pct: default of the variants, share of the resized photo that is cropped.
        warps_from: input side in pixels from which the published evaluation of the classifiers stretches the whole
            photo to the input, in place of the crop; 0 if it always crops.
    """

    name: str
    title: str
    config: type
    classifier: "str | Builder"
    backbone: "str | Builder | None" = None
    class_weight: str = "head.weight"
    lowering: str = ""
    key_layouts: tuple[KeyLayout, ...] = ()
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop_pct: float = 0.875
    warps_from: int = 0

    def build_classifier(self, config: Any, num_classes: int) -> "nn.Module":
        """Return the reference classifier of a config, initialised as published.

        Args:
            config: of the class `config`.
            num_classes: number of classes.
        """
        return _imported(self.classifier)(config, num_classes)

    def build_backbone(self, config: Any, output_stride: int) -> "nn.Module":
        """Return the reference backbone of a config, initialised as published.

        Args:
            config: of the class `config`.
            output_stride: stride of the last map, 32 or 16.

        Raises:
            UsageError: the family has none.
        """
        if self.backbone is None:
            raise UsageError(f"{self.title} has no backbone for detectors and segmenters",
                             "give its Family a backbone")
        return _imported(self.backbone)(config, output_stride)

    def load_lowering(self) -> None:
        """Import the module that registers the lowering."""
        if self.lowering:
            importlib.import_module(self.lowering)


FAMILIES: dict[str, Family] = {}


def register_family(family: Family) -> Family:
    """Add a family to the table and return it.

    Raises:
        UsageError: the name or the config class is another family's.
    """
    for other in FAMILIES.values():
        if other.name == family.name or other.config is family.config:
            what = "name" if other.name == family.name else f"config {family.config.__name__}"
            raise UsageError(f"family {family.name!r} has the {what} of the registered family {other.name!r}",
                             f"give it a {what.split()[0]} of its own")
    FAMILIES[family.name] = family
    return family


def family_of(config: object) -> Family:
    """Return the family that a config belongs to.

    Raises:
        UsageError: none; a config is recognised by its class.
    """
    for family in FAMILIES.values():
        if type(config) is family.config:
            return family
    known = ", ".join(f"{family.config.__name__} ({family.name})" for family in FAMILIES.values())
    raise UsageError(f"no family has configs of the class {type(config).__name__}; known are {known}",
                     "register its family first: edgenext_deploy.models.register_family")


def _imported(target: "str | Builder") -> "Builder":
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    found: Builder = getattr(importlib.import_module(module), name)
    return found


_CONVERTED_BY_TIMM = (
    "its names differ, and its stem expects BGR; take timm's conversion of the published weights (--pretrained), or "
    "train timm's network and save its state_dict()")


register_family(Family(
    name="edgenext",
    title="EdgeNeXt",
    config=EdgeNeXtConfig,
    classifier="edgenext_deploy.models.definitions.edgenext:EdgeNeXt",
    backbone="edgenext_deploy.models.definitions.edgenext:EdgeNeXtBackbone",
    lowering="edgenext_deploy.export.lowering.edgenext",
    key_layouts=(
        # The inverse of tools/model_converters/edgenext_to_mmpretrain.py of open-mmlab/mmpretrain, which only renames;
        # the head lies beside the backbone. Before the official layout, whose marker these files have too.
        KeyLayout("mmpretrain", r"^stages\.\d+\.\d+\.depthwise_conv\.", (
            (r"\.depthwise_conv\.", ".dwconv."),
            (r"\.pointwise_conv([12])\.", r".pwconv\1."),
            (r"\.conv_modules\.", ".convs."),
            (r"\.pos_embed\.proj\.", ".pos_embd.token_projection."),
            (r"\.csa\.scale$", ".xca.temperature"),
            (r"([._])csa(\.|$)", r"\1xca\2"),
            (r"^norm3\.", "norm."),
        )),
        KeyLayout("official", r"^downsample_layers\."),
        # The inverse of `checkpoint_filter_fn` in timm 1.0.31 `models/edgenext.py`, which only renames: no
        # tensor changes its shape between the two layouts.
        KeyLayout("timm", r"^stem\.0\.|^stages\.\d+\.blocks\.", (
            (r"^stem\.", "downsample_layers.0."),
            (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
            (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
            (r"\.conv_dw\.", ".dwconv."),
            (r"\.mlp\.fc([12])\.", r".pwconv\1."),
            (r"^head\.norm\.", "norm."),
            (r"^head\.fc\.", "head."),
        )),
    ),
    # `build_transform` in datasets.py of github.com/mmaaz60/EdgeNeXt at 3884504.
    warps_from=384,
))
register_family(Family(
    name="mobilevit",
    title="MobileViT",
    config=MobileViTConfig,
    classifier="edgenext_deploy.models.definitions.mobilevit:MobileViT",
    backbone="edgenext_deploy.models.definitions.mobilevit:MobileViTBackbone",
    class_weight="head.fc.weight",
    lowering="edgenext_deploy.export.lowering.mobilevit",
    key_layouts=(
        KeyLayout("timm", r"^stem\.conv\."),
        # Both homes of the published weights name every parameter otherwise, and their stems expect BGR.
        KeyLayout("transformers", r"(^|\.)conv_stem\.convolution\.", way_out=_CONVERTED_BY_TIMM),
        KeyLayout("ml-cvnets", r"(^|\.)conv_1\.block\.conv\.", way_out=_CONVERTED_BY_TIMM),
    ),
    # ml-cvnets divides by 255 and does nothing else.
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    crop_pct=0.9,
))
register_family(Family(
    name="mobilevitv2",
    title="MobileViT-v2",
    config=MobileViTV2Config,
    classifier="edgenext_deploy.models.definitions.mobilevitv2:MobileViTV2",
    class_weight="head.fc.weight",
    lowering="edgenext_deploy.export.lowering.mobilevitv2",
    key_layouts=(
        KeyLayout("timm", r"^stem\.conv\."),
        # Their stems have the names of MobileViT's.
        KeyLayout("transformers", r"\.transformer\.layer\.\d+\.attention\.qkv_proj\.", way_out=_CONVERTED_BY_TIMM),
        KeyLayout("ml-cvnets", r"\.pre_norm_attn\.", way_out=_CONVERTED_BY_TIMM),
    ),
    # As timm has it: ml-cvnets resizes to 288, crops 256, and divides by 255.
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    crop_pct=0.888,
))
