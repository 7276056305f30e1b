"""Which preprocessing can be done: a manifest comes from a file, and may say anything."""

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import BadInputError

# The number that Pillow has for each filter, the same on every release; its names have moved around.
INTERPOLATIONS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
FITS = ("crop", "stretch", "letterbox")
# Of each plane of the input: which of red, green and blue it holds.
CHANNEL_ORDERS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}
_MAX_SIDE = 4096


def require_possible(preprocessing: Preprocessing) -> None:
    """Raise BadInputError, naming the field, for values that no network was trained with."""
    problem = _problem(preprocessing)
    if problem:
        raise BadInputError("the manifest's preprocessing cannot be done: " + problem,
                            "export again with edgenext-export")


def _problem(preprocessing: Preprocessing) -> str:
    if not (0 < preprocessing.height <= _MAX_SIDE and 0 < preprocessing.width <= _MAX_SIDE):
        return "size {}x{}".format(preprocessing.height, preprocessing.width)
    if not 0.1 <= preprocessing.crop_pct <= 1.0:
        return "crop_pct {}".format(preprocessing.crop_pct)
    for field, known in (("interpolation", INTERPOLATIONS), ("fit", FITS), ("channel_order", CHANNEL_ORDERS)):
        if getattr(preprocessing, field) not in known:
            return "{} {!r} ({} expected)".format(
                field, getattr(preprocessing, field), " or ".join(map(repr, known)))
    if len(preprocessing.mean) != 3 or len(preprocessing.std) != 3:
        return "mean of {} and std of {} values for 3 channels".format(
            len(preprocessing.mean), len(preprocessing.std))
    # Beyond these a grey level leaves float32, which no network was trained with.
    if not (all(abs(value) <= 1e6 for value in preprocessing.mean)
            and all(1e-6 <= value <= 1e6 for value in preprocessing.std)):
        return "mean {} with std {}".format(list(preprocessing.mean), list(preprocessing.std))
    color = preprocessing.pad_color
    if preprocessing.fit == "letterbox" and (len(color) != 3 or not all(0 <= level <= 255 for level in color)):
        return "pad_color {} (three numbers from 0 to 255 expected)".format(list(color))
    if preprocessing.fit != "letterbox" and color:
        return "pad_color {} for fit {!r}, which has no border".format(list(color), preprocessing.fit)
    return ""
