"""Camera frames of every pixel format, what they should become, and how far a result is from that."""
import functools

import numpy as np
from PIL import Image

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.data import path_of
from edgenext_deploy.preprocess.photo import scale_and_crop
from edgenext_deploy.preprocess.pixel_formats import nv12_to_rgb

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EDGENEXT = Preprocessing(256, 256, 0.875, "bicubic", MEAN, STD, False)
STRETCHED = EDGENEXT._replace(crop_pct=1.0, fit="stretch")
LETTERBOXED = EDGENEXT._replace(crop_pct=1.0, fit="letterbox", pad_color=(114, 3, 250))
# What an export may ask for, each once.
OPTIONS = {
    "bilinear": EDGENEXT._replace(interpolation="bilinear"), "lanczos": EDGENEXT._replace(interpolation="lanczos"),
    "nearest": EDGENEXT._replace(interpolation="nearest"), "bgr": EDGENEXT._replace(channel_order="bgr"),
    "letterbox": LETTERBOXED,
    "letterbox wide bgr": LETTERBOXED._replace(height=128, width=320, channel_order="bgr", interpolation="bilinear"),
    "letterbox folded": LETTERBOXED._replace(folded=True, interpolation="nearest"),
}
COLORS = {"bgr": "bgr", "rgb": "rgb", "bgrx": "bgr", "rgbx": "rgb", "grey": "bgr", "nv12": "nv12"}
SIZES = [(1280, 720), (640, 480), (70, 34), (34, 70), (300, 20), (20, 300), (2, 2), (36, 36), (40, 1200)]
ODD_SIZES = [(641, 479), (33, 71), (1, 1), (3, 2), (37, 36)]


def sized(preprocessing, size):
    return preprocessing._replace(height=size, width=size)


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def gradient(height, width):
    """Return ramps in both directions, with edges of the full range every 16 pixels, where bicubic overshoots."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns * 255 // max(width - 1, 1), rows * 255 // max(height - 1, 1),
                      (rows // 16 + columns // 16) % 2 * 255], axis=2)
    return image.astype(np.uint8)


@functools.lru_cache(maxsize=None)
def photo(name="cat.jpg"):
    with Image.open(path_of("photos", name)) as image:
        return np.asarray(image.convert("RGB"))


def frame_of(name, rgb, seed=0):
    """Return an RGB picture as a frame of the format `name`; of NV12, which has other pixels, noise of its size."""
    if name == "nv12":
        return noise(rgb.shape[0] * 3 // 2, rgb.shape[1], 0, seed)
    if name == "grey":
        return np.ascontiguousarray(rgb[:, :, 1])
    ordered = rgb if name.startswith("rgb") else rgb[:, :, ::-1]
    if name.endswith("x"):
        ordered = np.concatenate([ordered, noise(*rgb.shape[:2], 1, seed)], axis=2)
    return np.ascontiguousarray(ordered)


def exact(name, frame, preprocessing):
    """Return the grey levels that Pillow gives, float64 `[3, height, width]`, R, G and B."""
    if name == "nv12":
        rgb = nv12_to_rgb(frame)
    elif name == "grey":
        rgb = np.stack([frame] * 3, axis=2)
    else:
        rgb = frame[:, :, :3] if name.startswith("rgb") else frame[:, :, 2::-1]
    image = scale_and_crop(Image.fromarray(np.ascontiguousarray(rgb)), preprocessing)
    return np.asarray(image).transpose(2, 0, 1).astype(np.float64)


def grey_levels(result, preprocessing):
    """Undo the channel order and the normalisation of a network's input `[1, 3, height, width]`."""
    planes = result[0].astype(np.float64)[::-1 if preprocessing.channel_order == "bgr" else 1]
    if preprocessing.folded:
        return planes
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (planes * std + mean) * 255.0


# Of the pixels that may be one grey level off: bilinear weights make more sums that end in a half.
SHARES = {"bicubic": 0.002, "lanczos": 0.002, "bilinear": 0.006, "nearest": 0.0}


def check_close(result, name, frame, preprocessing, rounding=1e-3, reference=None):
    """Assert that a result is within one grey level of Pillow's everywhere and equal to it nearly everywhere.

    With the `reference` of the CPU's way, as many pixels may be one level off as there: of tiny frames, more are.
    """
    share = SHARES[preprocessing.interpolation]
    if reference is not None:
        off = np.abs(grey_levels(reference, preprocessing) - exact(name, frame, preprocessing)) > rounding
        share = max(share, off.mean())
    difference = np.abs(grey_levels(result, preprocessing) - exact(name, frame, preprocessing))
    assert difference.max() <= 1.0 + rounding, difference.max()
    assert (difference > rounding).mean() <= share, (difference > rounding).mean()
