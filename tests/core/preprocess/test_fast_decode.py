"""Large JPEG photos decoded smaller: how far the network's input is from that of the whole photo."""
import os

import numpy as np
import pytest
from frame_samples import photo
from paths import TINY
from PIL import Image
from sweeps import sweep

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.preprocess.fast_decode import KEPT, decode_smaller
from edgenext_deploy.preprocess.photo import read_photo, scale_and_crop

# 128 pixels on the shorter side after resizing.
PREPROCESSING = manifests.read(manifests.manifest_path(TINY)).preprocessing._replace(
    height=112, width=112, crop_pct=0.875, interpolation="bicubic")
SMALLEST = 2 * KEPT * 128


def textured(height, width):
    """Return noise whose amplitude falls with the frequency, as in foliage and fabric, at full contrast."""
    chance = np.random.RandomState(0)
    spectrum = np.fft.rfft2(chance.normal(size=(height, width)))
    radius = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)[np.newaxis])
    radius[0, 0] = 1.0
    values = np.fft.irfft2(spectrum / radius, s=(height, width))
    grey = 128 + 50 * (values - values.mean()) / values.std()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def noisy(name, height, width, sigma):
    """Return a bundled photo, scaled up, with the noise of a sensor at a high sensitivity."""
    large = np.asarray(Image.fromarray(photo(name)).resize((width, height), Image.LANCZOS)).astype(np.int16)
    noise = np.random.RandomState(1).normal(0, sigma, (height, width, 3)).astype(np.int16)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def decoded(path):
    """Return the photo decoded smaller, its size, and by what its sides were divided."""
    found = []
    image, _ = read_photo(path, lambda image: found.append(decode_smaller(image, [PREPROCESSING])))
    return image, (image.width * found[0], image.height * found[0]), found[0]


def difference(path):
    """Return the largest difference in the network's input, in grey levels."""
    small, size, divided_by = decoded(path)
    whole, _ = read_photo(path)
    assert whole.size == size and divided_by > 1 and small.width * divided_by == whole.width
    pictures = [np.asarray(scale_and_crop(image, PREPROCESSING, size)).astype(int) for image in (small, whole)]
    assert pictures[0].shape == (112, 112, 3)
    return int(np.abs(pictures[0] - pictures[1]).max())


HARD = {"cat": lambda: noisy("cat.jpg", SMALLEST, SMALLEST, 0),
        "coffee, noise": lambda: noisy("coffee.jpg", SMALLEST, SMALLEST, 10),
        "rocket, noise": lambda: noisy("rocket.jpg", SMALLEST, SMALLEST + 600, 10),
        "cat, noise": lambda: noisy("cat.jpg", SMALLEST + 100, SMALLEST + 400, 10),
        "texture": lambda: textured(SMALLEST, SMALLEST)}


@pytest.mark.parametrize("name", sweep(HARD, always=["coffee, noise"]))
def test_at_most_two_grey_levels(name, tmp_path):
    image = Image.fromarray(HARD[name]())
    for index, (quality, subsampling) in enumerate([(75, 2), (95, 0)]):
        path = str(tmp_path / "{}.jpg".format(index))
        image.save(path, quality=quality, subsampling=subsampling)
        assert difference(path) <= 2


@pytest.mark.parametrize("size, divided_by", [
    ((SMALLEST, SMALLEST), 2), ((SMALLEST - 2, SMALLEST), 1), ((4000, SMALLEST), 2), ((2 * SMALLEST, 2 * SMALLEST), 4),
    ((SMALLEST + 1, SMALLEST), 1), ((SMALLEST * 4, SMALLEST * 4), 8)])
def test_enough_pixels_are_kept(size, divided_by, tmp_path):
    path = str(tmp_path / "plain.jpg")
    Image.new("RGB", size).save(path)
    with Image.open(path) as image:
        assert decode_smaller(image, [PREPROCESSING]) == divided_by
        assert (image.width, image.height) == (size[0] // divided_by, size[1] // divided_by)


def test_the_hungriest_network_decides(tmp_path):
    path = str(tmp_path / "plain.jpg")
    Image.new("RGB", (2 * SMALLEST, 2 * SMALLEST)).save(path)
    with Image.open(path) as image:
        assert decode_smaller(image, [PREPROCESSING, PREPROCESSING._replace(height=200, width=200)]) == 2


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_photo_that_is_turned(orientation, tmp_path):
    path = str(tmp_path / "turned.jpg")
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = np.zeros((SMALLEST, SMALLEST + 600, 3), np.uint8)
    plain[:500, :300] = (200, 90, 10)
    Image.fromarray(plain).save(path, exif=exif.tobytes())
    assert difference(path) <= 2


def test_other_formats_are_decoded_as_they_are(tmp_path):
    path = str(tmp_path / "plain.png")
    Image.new("RGB", (SMALLEST, SMALLEST)).save(path)
    image, size, divided_by = decoded(path)
    assert image.size == size and divided_by == 1
    os.unlink(path)
