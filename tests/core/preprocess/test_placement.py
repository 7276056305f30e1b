"""Every fit, filter and channel order against Pillow's own calls, as other people's pipelines make them."""
import math

import numpy as np
import PIL
import pytest
from frame_samples import EDGENEXT, LETTERBOXED, MEAN, OPTIONS, STD, STRETCHED, noise, photo
from PIL import Image

from edgenext_deploy.artifacts import golden
from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.preprocess.photo import normalise, preprocess, scale_and_crop
from edgenext_deploy.preprocess.placement import boxes_in_picture, place
from edgenext_deploy.preprocess.taps import make_taps

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
SIZES = [(640, 480), (480, 640), (64, 64), (63, 65), (37, 101), (500, 333), (333, 500), (7, 5), (130, 129)]


def resize(image, size, kind):
    """Return Pillow's resize; since 13 columns come first for many tall images, and before rows always did."""
    if int(PIL.__version__.split(".")[0]) >= 13:
        image = image.resize((size[0], image.height), kind)
    return image.resize(size, kind)


def ultralytics(image, height, width, color, kind):
    """Return Ultralytics' LetterBox(new_shape, auto=False), its cv2 calls replaced by Pillow's."""
    r = min(height / image.height, width / image.width)
    new_unpad = round(image.width * r), round(image.height * r)
    dw, dh = (width - new_unpad[0]) / 2, (height - new_unpad[1]) / 2
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    pixels = np.empty((top + new_unpad[1] + bottom, left + new_unpad[0] + right, 3), np.uint8)
    pixels[:] = color
    pixels[top:top + new_unpad[1], left:left + new_unpad[0]] = np.asarray(resize(image, new_unpad, kind))
    return pixels


def timm_border(image, height, width, color, kind):
    """Return timm's ResizeKeepRatio(longest=1) and CenterCropOrPad(fill=color)."""
    ratio = max(image.height / height, image.width / width)
    size = [round(x / ratio) for x in (image.height, image.width)]
    resized = resize(image, (size[1], size[0]), kind)
    picture = Image.new("RGB", (width, height), color)
    picture.paste(resized, ((width - size[1]) // 2, (height - size[0]) // 2))
    return np.asarray(picture)


def torchvision_crop(image, size, crop_pct, kind):
    short = math.floor(size / crop_pct)
    w, h = image.size
    new = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    left, top = round((new[0] - size) / 2.0), round((new[1] - size) / 2.0)
    return np.asarray(resize(image, new, kind).crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("interpolation", sorted(FILTERS))
@pytest.mark.parametrize("width, height", SIZES)
def test_each_filter_and_fit_is_pillows_bit_for_bit(width, height, interpolation):
    image, kind = Image.fromarray(noise(height, width, seed=width)), FILTERS[interpolation]

    def found(preprocessing):
        return np.asarray(scale_and_crop(image, preprocessing._replace(interpolation=interpolation)))

    small = EDGENEXT._replace(height=64, width=64)
    assert np.array_equal(found(small), torchvision_crop(image, 64, 0.875, kind))
    assert np.array_equal(found(STRETCHED._replace(height=48, width=80)), np.asarray(resize(image, (80, 48), kind)))
    for high, wide in ((64, 64), (48, 80), (80, 47)):
        boxed = found(LETTERBOXED._replace(height=high, width=wide))
        expected = ultralytics(image, high, wide, LETTERBOXED.pad_color, kind)
        assert boxed.shape == expected.shape == (high, wide, 3) and np.array_equal(boxed, expected)
        assert np.array_equal(boxed, timm_border(image, high, wide, LETTERBOXED.pad_color, kind))


def test_nearest_taps_are_pillows_pixels():
    """Pillow adds up the step, and its rounding errors decide; a ramp longer than 256 is told apart by two channels."""
    for length, scaled in ((640, 292), (1920, 519), (100, 292), (49, 64), (3, 7), (1280, 90), (30, 30), (4096, 1023)):
        ramp = np.stack([np.arange(length) % 251, np.arange(length) // 251, np.zeros(length)], axis=1).astype(np.uint8)
        shown = np.asarray(Image.fromarray(ramp[np.newaxis]).resize((scaled, 1), Image.NEAREST))[0].astype(int)
        taps = make_taps(length, scaled, 0, scaled, "nearest")
        assert np.array_equal(taps.first + taps.starts, shown[:, 0] + 251 * shown[:, 1]), (length, scaled)


def test_an_elongated_picture_keeps_a_pixel():
    assert place(5000, 3, LETTERBOXED)[:4] == (256, 1, 0, -127)
    assert scale_and_crop(Image.new("RGB", (3, 5000)), LETTERBOXED).size == (256, 256)


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_bgr_is_the_same_picture_with_its_planes_turned(fit):
    rgb = EDGENEXT if fit == "crop" else LETTERBOXED
    bgr, picture = rgb._replace(channel_order="bgr"), photo()
    for folded in (False, True):
        first, second = (way._replace(folded=folded) for way in (rgb, bgr))
        image = Image.fromarray(picture)
        assert np.array_equal(preprocess(image, second), preprocess(image, first)[:, ::-1])
        assert np.array_equal(CpuPreprocessor(second)(picture), CpuPreprocessor(first)(picture)[:, ::-1])
        pixels = golden.golden_batch(1, (2, 3, 8, 8))
        assert np.array_equal(normalise(pixels, second), normalise(pixels, first)[:, ::-1])


def test_bgr_is_what_a_caffe_pipeline_feeds():
    """Mean and std are given in RGB order, and belong to their colour."""
    picture = photo()
    image = Image.fromarray(picture).resize((256, 256), Image.BICUBIC)
    found = preprocess(Image.fromarray(picture), STRETCHED._replace(channel_order="bgr"))[0]
    expected = (np.asarray(image)[:, :, ::-1] / 255.0 - MEAN[::-1]) / STD[::-1]
    assert np.abs(found - expected.transpose(2, 0, 1)).max() < 1e-5


def test_a_grey_frame_has_a_coloured_border():
    frame = noise(40, 80, 0)
    found = CpuPreprocessor(LETTERBOXED._replace(folded=True, interpolation="nearest"))(frame)[0]
    assert [plane[0, 0] for plane in found] == list(LETTERBOXED.pad_color)
    assert np.array_equal(found[0, 64:192], found[2, 64:192])


@pytest.mark.parametrize("preprocessing", [
    EDGENEXT, STRETCHED, LETTERBOXED, LETTERBOXED._replace(height=96, width=320)],
    ids=["crop", "stretch", "letterbox", "wide"])
def test_boxes_lie_where_the_picture_was(preprocessing):
    """A white block is found in the input by its pixels, and its box is where it was in the picture."""
    picture = np.zeros((400, 600, 3), np.uint8)
    picture[120:280, 200:360] = 255
    seen = np.asarray(scale_and_crop(Image.fromarray(picture), preprocessing._replace(
        interpolation="nearest", pad_color=(0, 0, 0) if preprocessing.fit == "letterbox" else ())))[:, :, 0]
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = np.array([[columns[0] / preprocessing.width, rows[0] / preprocessing.height,
                     (columns[-1] + 1) / preprocessing.width, (rows[-1] + 1) / preprocessing.height]])
    found = boxes_in_picture(box, place(600, 400, preprocessing), preprocessing)[0] * (600, 400, 600, 400)
    assert np.abs(found - (200, 120, 360, 280)).max() < 2.5 * max(600 / 256, 400 / 96) / 2


# Made once; Pillow 8.4 with numpy 1.19 on Python 3.6 and the newest on 3.11 have to agree.
DIGESTS = {
    "bgr": "7ec75587a6734598",
    "bilinear": "27d5aaf80b2ec3ce",
    "lanczos": "636b48f278f2049e",
    "letterbox": "8efea43b5278587e",
    "letterbox folded": "26e6b4e23eb14696",
    "letterbox wide bgr": "7effbbf7dd792af4",
    "nearest": "2d76aaf12f96ed73",
}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_pillow_and_numpy_give_the_same_bits(option):
    """The picture is one that Pillow 13 by itself resizes columns first, if it is stretched."""
    found = preprocess(Image.fromarray(noise(301, 200, seed=7)), OPTIONS[option]._replace(height=96, width=160))
    assert golden.digest(found)[:16] == DIGESTS[option]
