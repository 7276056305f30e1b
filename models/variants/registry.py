"""The registry: every variant by name, with a frozen config. Pure data, no torch.

Sources: EdgeNeXt configs from github.com/mmaaz60/EdgeNeXt `models/model.py` at 3884504 (not from Table 1
of the paper, whose depths for XXS differ from the released code); MobileViT from timm 1.0.31 and apple/ml-cvnets v0.1,
which agree; `s_rw` and MobileViT-v2 from timm 1.0.31. Detection and segmentation heads: see `config.SSDLiteConfig` and
`config.DeepLabConfig`. The rows of the paper's Tables 7 to 10: see `variants.ablations`.
"""
import fnmatch
import re
from dataclasses import dataclass, replace
from typing import Any

from edgenext_deploy.errors import UsageError, unknown_name
from edgenext_deploy.models.definitions.config import (
    DeepLabConfig,
    EdgeNeXtConfig,
    MobileViTConfig,
    MobileViTV2Config,
    SSDLiteConfig,
)
from edgenext_deploy.models.variants.ablations import ABLATIONS
from edgenext_deploy.models.variants.families import family_of

_CLASSIFICATION = "classification"
GROUPS = ("paper", "baseline", "bundled", "task", "ablation", "own")
# A name is also the stem of the exported files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RELEASES = "https://github.com/mmaaz60/EdgeNeXt/releases/download/"
_HUB = "https://huggingface.co/timm/"
# Names of files there end with the first digits of their SHA-256, as torch.hub compares them.
_TIMM_RELEASES = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-mvit-weights/"


@dataclass(frozen=True)
class Checkpoint:
    """A published weights file.

    Attributes:
        file: name under which it is kept in the cache.
        url: where it is published.
        layout: ``official`` or ``timm``, the naming of its keys.
        top1: published ImageNet-1k top-1 accuracy in percent.
        crop_pct: share of the resized photo that was cropped in the evaluation behind `top1`.
        source: where `top1` is published.
        sha256: of the file, as its publisher gave it: 64 hexadecimal digits, or the first ones; empty if not given.
        mirrors: other publishers' files with the same network.
    """

    file: str
    url: str
    layout: str
    top1: float
    crop_pct: float
    source: str
    sha256: str = ""
    mirrors: tuple["Checkpoint", ...] = ()


@dataclass(frozen=True)
class Variant:
    """A network by name: what to build, and how photos are prepared for it.

    Attributes:
        name: what ``--variant`` takes, and the stem of the exported files.
        config: of the backbone; its class says which family this is. `family_of` raises UsageError for an unknown one.
        mean: of the input, RGB in 0..1; empty for the family's.
        std: of the input, RGB in 0..1; empty for the family's.
        crop_pct: share of the resized photo that is cropped; 1 for the tasks that see all of it, 0 for the family's.
        checkpoints: published weights; ``--pretrained`` loads the first.
        bundled_weights: weights file in `edgenext_deploy.data`, which is loaded unless other weights are asked for;
            ``--pretrained`` means it too. Empty: none ships.
        category_list: name of the shipped category list that a classifier was trained with, and its length.
        image_size: side of the square input in pixels, the default.
        head: what follows the backbone; None is the classifier.
        group: table of ``edgenext-models`` that lists it, one of `GROUPS`.
        note: what the variant is, in a few words.
    """

    name: str
    config: Any
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop_pct: float = 0.0
    checkpoints: tuple[Checkpoint, ...] = ()
    bundled_weights: str = ""
    category_list: tuple[str, int] = ("imagenet1k", 1000)
    image_size: int = 256
    head: SSDLiteConfig | DeepLabConfig | None = None
    group: str = "own"
    note: str = ""

    def __post_init__(self) -> None:
        family = family_of(self.config)
        for field in ("mean", "std", "crop_pct"):
            object.__setattr__(self, field, getattr(self, field) or getattr(family, field))

    @property
    def family(self) -> str:
        """Name of the family, such as ``edgenext``."""
        return family_of(self.config).name

    @property
    def published_files(self) -> tuple[Checkpoint, ...]:
        """The checkpoints and their mirrors."""
        return tuple(file for checkpoint in self.checkpoints for file in (checkpoint, *checkpoint.mirrors))

    @property
    def task(self) -> str:
        """``classification``, ``detection`` or ``segmentation``."""
        return _CLASSIFICATION if self.head is None else self.head.task

    @property
    def labels(self) -> str:
        """Name of the category list that the published network was trained with."""
        return self.category_list[0] if self.head is None else self.head.labels

    @property
    def num_classes(self) -> int:
        """How many categories that list has; a segmenter's background counts, a detector's does not."""
        return self.category_list[1] if self.head is None else self.head.num_classes


VARIANTS: dict[str, Variant] = {}


def register_variant(variant: Variant) -> Variant:
    """Add a variant to the registry and return it; every command then takes its name.

    Raises:
        UsageError: the name is taken or cannot be the name of a file, or there is no such group.
    """
    if not _NAME.fullmatch(variant.name):
        raise UsageError(f"{variant.name!r} cannot be the name of a variant: it names files too",
                         "use letters, digits, '_', '-' and '.'")
    if variant.name in VARIANTS:
        raise UsageError(f"there is a variant {variant.name!r} already", "choose another name")
    if variant.group not in GROUPS:
        raise unknown_name("group", variant.group, GROUPS)
    VARIANTS[variant.name] = variant
    return variant


def list_variants(pattern: str = "*", *, task: str | None = None) -> list[str]:
    """Return the names of the registered variants, in the order of registration.

    Args:
        pattern: shell pattern that a name must match, such as ``mobilevit_*``.
        task: only this task: ``classification``, ``detection`` or ``segmentation``.

    Raises:
        UsageError: no such task.
    """
    tasks = [_CLASSIFICATION, SSDLiteConfig.task, DeepLabConfig.task]
    if task is not None and task not in tasks:
        raise unknown_name("task", task, tasks)
    return [name for name, variant in VARIANTS.items()
            if fnmatch.fnmatchcase(name, pattern) and task in (None, variant.task)]


def get_variant(name: str) -> Variant:
    """Return the variant of that name; ``XXS``, ``edgenext_xxs`` and timm's ``edgenext_xx_small`` mean ``xxs``.

    Raises:
        UsageError: no such variant; the message suggests the nearest.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    # What the authors and timm call them, which could only mean these.
    also = {**{checkpoint.file.split(".")[0]: variant.name
               for variant in VARIANTS.values() for checkpoint in variant.published_files},
            **{f"{variant.family}_{variant.name}": variant.name for variant in VARIANTS.values()}}
    plain = name.lower().replace("-", "_")
    for known in (plain, also.get(plain, "")):
        if known in VARIANTS:
            return VARIANTS[known]
    raise unknown_name("variant", name, VARIANTS, also, listing="edgenext-models")


def _official(path: str, top1: float, crop_pct: float = 0.875, hub: str = "") -> Checkpoint:
    """Return a file of the authors' release; `hub` is the tag of the same network in timm's hub."""
    file = path.rsplit("/", 1)[1]
    mirrors = (_of_hub(hub, top1, crop_pct, "EdgeNeXt README"),) if hub else ()
    return Checkpoint(file, _RELEASES + path, "official", top1, crop_pct, "EdgeNeXt README", mirrors=mirrors)


def _of_hub(tag: str, top1: float, crop_pct: float, source: str) -> Checkpoint:
    return Checkpoint(tag + ".safetensors", _HUB + tag + "/resolve/main/model.safetensors", "timm", top1, crop_pct,
                      source)


def _edgenext(name: str, config: EdgeNeXtConfig, *checkpoints: Checkpoint) -> Variant:
    return Variant(name, config, checkpoints=checkpoints, group="paper")


def _mobilevit(name: str, digest: str, top1: float, config: MobileViTConfig) -> Variant:
    source = "timm results-imagenet.csv"
    file = f"{name}-{digest}.pth"
    release = Checkpoint(file, _TIMM_RELEASES + file, "timm", top1, 0.9, source, sha256=digest)
    checkpoint = replace(_of_hub(name + ".cvnets_in1k", top1, 0.9, source), mirrors=(release,))
    return Variant(name, config, checkpoints=(checkpoint,), group="baseline")


def _mobilevitv2(percent: int, top1: float) -> Variant:
    """Return a MobileViT-v2 by its width, in percent of that of MobileViT-v2 1.0."""
    dims = tuple(width * percent // 100 for width in (32, 64, 128, 256, 384, 512))
    name = f"mobilevitv2_{percent:03d}"
    checkpoint = _of_hub(name + ".cvnets_in1k", top1, 0.888, "ml-cvnets model zoo")
    return Variant(name, MobileViTV2Config(dims, tuple(width // 2 for width in dims[3:])),
                   checkpoints=(checkpoint,), group="baseline")


def _ablation(name: str, changes: dict[str, Any], note: str) -> Variant:
    return replace(_edgenext(name, EdgeNeXtConfig(**{**_S, **changes})), group="ablation", note=note)


def _detector(backbone: Variant) -> Variant:
    # Normalised as the backbone was trained. ml-cvnets itself only divides by 255, which is MobileViT's way; what
    # the authors of EdgeNeXt did there is not known.
    return replace(
        backbone, name=backbone.name + "_ssdlite", crop_pct=1.0, checkpoints=(), image_size=320,
        head=SSDLiteConfig(), group="task", note="SSDLite on COCO, Table 5")


def _segmenter(backbone: Variant) -> Variant:
    width = 128 if backbone.family == "edgenext" else 256
    return replace(
        backbone, name=backbone.name + "_deeplabv3", crop_pct=1.0, checkpoints=(), image_size=512,
        head=DeepLabConfig(width), group="task", note="DeepLabv3 on Pascal VOC, Table 6")


_XXS: dict[str, Any] = {"dims": (24, 48, 88, 168), "depths": (2, 2, 6, 2), "heads": (4, 4, 4, 4)}
_XS: dict[str, Any] = {"dims": (32, 64, 100, 192), "depths": (3, 3, 9, 3), "heads": (4, 4, 4, 4)}
# Narrower and of fewer blocks than XXS, so that half an hour on one CPU core trains it; BN-HS for the same reason.
_ICONS: dict[str, Any] = {
    "dims": (16, 32, 64, 128), "depths": (2, 2, 4, 2), "heads": (4, 4, 4, 4), "norm": "batch", "layer_scale": 1.0}
_S: dict[str, Any] = {"dims": (48, 96, 160, 304), "depths": (3, 3, 9, 3)}
_B: dict[str, Any] = {"dims": (80, 160, 288, 584), "depths": (3, 3, 9, 3)}

_CLASSIFIERS = (
    _edgenext("xxs", EdgeNeXtConfig(**_XXS),
              _official("v1.0/edgenext_xx_small.pth", 71.23, hub="edgenext_xx_small.in1k")),
    _edgenext("xs", EdgeNeXtConfig(**_XS), _official("v1.0/edgenext_x_small.pth", 74.96, hub="edgenext_x_small.in1k")),
    _edgenext("s", EdgeNeXtConfig(**_S),
              _official("v1.0/edgenext_small.pth", 79.41),
              _official("v1.1/edgenext_small_usi.pth", 81.07, 0.95, "edgenext_small.usi_in1k")),
    _edgenext("b", EdgeNeXtConfig(**_B),
              _official("v1.2/edgenext_base.pth", 82.47),
              _official("v1.2/edgenext_base_usi.pth", 83.68, 0.95, "edgenext_base.usi_in1k"),
              _official("v1.21/edgenext_base_IN21K.pth", 83.31, hub="edgenext_base.in21k_ft_in1k")),
    _edgenext("xxs_bn_hs", EdgeNeXtConfig(**_XXS, norm="batch"),
              _official("v1.0/edgenext_xx_small_bn_hs.pth", 70.33)),
    _edgenext("xs_bn_hs", EdgeNeXtConfig(**_XS, norm="batch"),
              _official("v1.0/edgenext_x_small_bn_hs.pth", 74.87)),
    _edgenext("s_bn_hs", EdgeNeXtConfig(**_S, norm="batch"),
              _official("v1.0/edgenext_small_bn_hs.pth", 78.39)),
    _mobilevit("mobilevit_xxs", "ad385b40", 68.936,
               MobileViTConfig((16, 16, 24, 48, 64, 80), (64, 80, 96), 320, expansion=2)),
    _mobilevit("mobilevit_xs", "8fbd6366", 74.618, MobileViTConfig((16, 32, 48, 64, 80, 96), (96, 120, 144), 384)),
    _mobilevit("mobilevit_s", "38a5a959", 78.298, MobileViTConfig((16, 32, 64, 96, 128, 160), (144, 192, 240), 640)),
    _mobilevitv2(50, 70.18),
    _mobilevitv2(75, 75.56),
    _mobilevitv2(100, 78.09),
    _mobilevitv2(125, 79.65),
    _mobilevitv2(150, 80.38),
    _mobilevitv2(175, 80.84),
    _mobilevitv2(200, 81.17),
    Variant("s_rw", EdgeNeXtConfig(
        (48, 96, 192, 384), (3, 3, 9, 3), stem_kernel=9, downsample_in_block=True, conv_bias=False),
        crop_pct=0.9, group="baseline", note="timm's edgenext_small_rw",
        checkpoints=(_of_hub("edgenext_small_rw.sw_in1k", 79.596, 0.9, "timm results-imagenet.csv"),)),
)
_BUNDLED = (
    Variant("icons", EdgeNeXtConfig(**_ICONS), crop_pct=1.0, bundled_weights="icons.safetensors",
            category_list=("icons32", 32), image_size=96, group="bundled",
            note="32 things drawn as icons; trained weights ship"),
)
_WITH_HEADS = [
    backbone for backbone in _CLASSIFIERS
    if backbone.name in ("xxs", "xs", "s", "mobilevit_xxs", "mobilevit_xs", "mobilevit_s")]
for _variant in (
        *_CLASSIFIERS,
        *_BUNDLED,
        *map(_detector, _WITH_HEADS),
        *map(_segmenter, _WITH_HEADS),
        *(_ablation(name, *ablation) for name, ablation in ABLATIONS.items())):
    register_variant(_variant)
