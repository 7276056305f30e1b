"""The whole way from a photo to the input, where options and checkpoint say a part of it."""
import math

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.limits import FRACTIONS
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.models.variants.families import family_of
from edgenext_deploy.models.variants.registry import Variant

# Of a border, if none is said: the grey that Ultralytics' letterbox has.
PAD_COLOR = (114, 114, 114)
_WARPED = ("the whole photo is stretched (warped) to {}x{}, as the published evaluation does from {} pixels; "
           "--fit crop crops")


def complete(
    said: PreprocessingOptions, variant: Variant, height: int, width: int, folded: bool
) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return what is said, and the published network's way where nothing is; also what one might not expect of it.

    The fit is ``crop`` for classifiers, ``stretch`` for detectors and segmenters. A family's `warps_from` is the size
    from which its published evaluation stretches too.

    Args:
        said: by the options over the checkpoint; its `image_size` is not looked at.
        variant: the network.
        height: of the input, in pixels.
        width: of the input, in pixels.
        folded: whether the graph normalises.

    Raises:
        UsageError: a `resize_size` that does not go with the input, or a segmenter that crops.
    """
    notes: tuple[str, ...] = ()
    fit = said.fit
    if fit is None:
        fit = "crop" if variant.task == "classification" else "stretch"
        warps_from = family_of(variant.config).warps_from
        if fit == "crop" and warps_from and min(height, width) >= warps_from:
            fit = "stretch"
            notes = (_WARPED.format(height, width, warps_from),)
    if fit == "crop" and variant.task == "segmentation":
        raise UsageError("--fit crop is not for segmenters: what is cut off would have no class",
                         "use --fit stretch or --fit letterbox")
    crop_pct = 1.0
    if fit == "crop":
        crop_pct = said.crop_pct or variant.crop_pct
        if said.resize_size is not None:
            crop_pct = crop_pct_of(said.resize_size, height, width)
    preprocessing = Preprocessing(
        height, width, crop_pct, said.interpolation or "bicubic", said.mean or variant.mean, said.std or variant.std,
        folded, fit, said.channel_order or "rgb", (said.pad_color or PAD_COLOR) if fit == "letterbox" else ())
    return preprocessing, notes


def crop_pct_of(resize_size: int, height: int, width: int) -> float:
    """Return the share that is cropped when the shorter side of the resized photo is `resize_size`.

    ``int(size / crop_pct)`` is `resize_size` exactly, for the shorter side `size` of the input.

    Raises:
        UsageError: smaller than the input, or far larger.
    """
    size, (low, _) = min(height, width), FRACTIONS["crop_pct"]
    if not size <= resize_size <= size / low:
        raise UsageError(f"--resize-size {resize_size} found for an input of {height}x{width}; {size} to "
                         f"{int(size / low)} expected", f"try --resize-size {int(size / 0.875)}")
    crop_pct = size / resize_size
    while int(size / crop_pct) < resize_size:
        crop_pct = math.nextafter(crop_pct, 0.0)
    return crop_pct
