"""Preprocessing against two independent implementations, and against bad photos."""
import io
import math
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError
from sweeps import examples

from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess.photo import (
    load_photo,
    normalise,
    open_photo,
    preprocess,
    read_photo,
    scale_and_crop,
    to_image,
)
from edgenext_deploy.preprocess.photo_fix import PHOTO_FORMATS
from edgenext_deploy.preprocess.pillow_warnings import no_warnings
from edgenext_deploy.preprocess.placement import scaled_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EDGENEXT = Preprocessing(256, 256, 0.875, "bicubic", MEAN, STD, False)
PIXELS = EDGENEXT._replace(folded=True)
PHOTOS = [path_of("photos", name) for name in ("cat.jpg", "coffee.jpg", "rocket.jpg")]


def noise(height, width, channels=3, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels)).astype(np.uint8)


# --- independent implementation: the resize and crop arithmetic, written out --------------------------------


def cubic(x):
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


def resample_first_axis(pixels, size):
    length = pixels.shape[0]
    scale = length / size
    stretch = max(scale, 1.0)
    result = np.zeros((size, *pixels.shape[1:]))
    for index in range(size):
        center = (index + 0.5) * scale
        first = max(int(center - 2.0 * stretch + 0.5), 0)
        last = min(int(center + 2.0 * stretch + 0.5), length)
        weights = np.array([cubic((x + 0.5 - center) / stretch) for x in range(first, last)])
        result[index] = np.tensordot(weights / weights.sum(), pixels[first:last], 1)
    return np.clip(np.floor(result + 0.5), 0, 255)


def torchvision_sizes(width, height, size, crop_pct):
    """Return (width, height, left, top) after Resize(int(size / crop_pct)) and CenterCrop(size)."""
    short = math.floor(size / crop_pct)
    if width <= height:
        new_width, new_height = short, int(short * height / width)
    else:
        new_width, new_height = int(short * width / height), short
    return new_width, new_height, round((new_width - size) / 2.0), round((new_height - size) / 2.0)


def reference_crop(pixels, size, crop_pct):
    """Resize and crop uint8 `[H, W, 3]` by hand."""
    width, height, left, top = torchvision_sizes(pixels.shape[1], pixels.shape[0], size, crop_pct)
    wide = resample_first_axis(pixels.astype(np.float64).transpose(1, 0, 2), width).transpose(1, 0, 2)
    return resample_first_axis(wide, height)[top:top + size, left:left + size]


def pixels_of(image, preprocessing):
    return np.asarray(scale_and_crop(image, preprocessing)).astype(np.int64)


@pytest.mark.parametrize("path", PHOTOS)
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 0.9])
def test_photo_equals_the_written_out_arithmetic_within_one_grey_level(path, crop_pct):
    image = load_photo(path)
    found = pixels_of(image, EDGENEXT._replace(crop_pct=crop_pct))
    expected = reference_crop(np.asarray(image), 256, crop_pct)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.001


@pytest.mark.parametrize("height, width", [
    (480, 640), (70, 33), (33, 70), (300, 20), (20, 300), (1, 1), (2, 3), (36, 36), (37, 36), (32, 32),
    (1200, 40)])
def test_any_size_equals_the_written_out_arithmetic_within_one_grey_level(height, width):
    frame = noise(height, width)
    preprocessing = EDGENEXT._replace(height=32, width=32)
    found = pixels_of(to_image(frame, "rgb"), preprocessing)
    assert np.abs(found - reference_crop(frame, 32, 0.875)).max() <= 1


@pytest.mark.parametrize("path", PHOTOS)
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 0.9])
def test_photo_equals_torch_antialiased_bicubic_within_one_grey_level(path, crop_pct):
    # On uint8 tensors, as torchvision passes them. In float, torch keeps fractions and overshoot between
    # its two passes, which moves single pixels at sharp edges by up to 7 grey levels.
    torch = pytest.importorskip("torch")
    image = load_photo(path)
    width, height, left, top = torchvision_sizes(image.width, image.height, 256, crop_pct)
    tensor = torch.from_numpy(np.array(image).transpose(2, 0, 1)[None].copy())
    scaled = torch.nn.functional.interpolate(
        tensor, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    expected = scaled[0, :, top:top + 256, left:left + 256].numpy().transpose(1, 2, 0).astype(np.int64)
    assert np.abs(pixels_of(image, EDGENEXT._replace(crop_pct=crop_pct)) - expected).max() <= 1


def test_random_sizes_equal_resize_then_crop_bit_for_bit():
    random = np.random.RandomState(1)
    for trial in range(60):
        width, height = (int(value) for value in random.randint(3, 400, 2))
        height = min(height, 2 * width)  # Pillow 13 resizes taller images in another order
        image = to_image(noise(height, width, seed=trial), "rgb")
        new_width, new_height, left, top = torchvision_sizes(width, height, 64, 0.875)
        whole = image.resize((new_width, new_height), Image.BICUBIC).crop((left, top, left + 64, top + 64))
        found = scale_and_crop(image, EDGENEXT._replace(height=64, width=64))
        assert found.tobytes() == whole.tobytes(), (width, height)


@pytest.mark.parametrize("width, height, crop_pct, expected", [
    (640, 480, 0.875, (389, 292)), (480, 640, 0.875, (292, 389)), (451, 300, 0.875, (438, 292)),
    (500, 500, 0.875, (292, 292)), (500, 375, 0.95, (358, 269)), (256, 256, 0.9, (284, 284)),
    (300, 200, 1.0, (384, 256)), (100, 100000, 0.875, (292, 292000)),
])
def test_scaled_size_of_square_inputs(width, height, crop_pct, expected):
    assert scaled_size(width, height, EDGENEXT._replace(crop_pct=crop_pct)) == expected


@pytest.mark.parametrize("width, height, expected", [
    (640, 480, (682, 512)),     # limited by the height: 512 tall, 682 wide covers 512
    (1000, 100, (5120, 512)),
    (480, 640, (512, 682)),     # limited by the width
    (100, 1000, (512, 5120)),
    (640, 320, (1024, 512)),
])
def test_scaled_size_of_non_square_inputs_covers_both_sides(width, height, expected):
    tall = EDGENEXT._replace(height=512, width=512, crop_pct=1.0)
    assert scaled_size(width, height, tall) == expected
    wide = EDGENEXT._replace(height=224, width=448, crop_pct=0.875)
    found = scaled_size(width, height, wide)
    assert found[0] >= 512 and found[1] >= 256 and (found[0] == 512 or found[1] == 256)
    assert abs(found[0] / found[1] - width / height) < 0.02 * width / height


def test_non_square_input_has_its_shape_and_shows_the_centre():
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 300:340] = 255
    result = preprocess(frame, PIXELS._replace(height=128, width=320))
    assert result.shape == (1, 3, 128, 320)
    assert result[0, :, :, 158:162].min() == 255 and result[0, :, :, :100].max() == 0


@pytest.mark.parametrize("long_side, scaled_width, left", [(640, 389, 66), (643, 391, 68)])
def test_crop_offset_rounds_half_to_even(long_side, scaled_width, left):
    # (389 - 256) / 2 = 66.5 becomes 66, (391 - 256) / 2 = 67.5 becomes 68
    image = to_image(noise(480, long_side), "rgb")
    whole = image.resize((scaled_width, 292), Image.BICUBIC).crop((left, 18, left + 256, 18 + 256))
    assert scale_and_crop(image, EDGENEXT).tobytes() == whole.tobytes()


# --- normalisation -----------------------------------------------------------------------------------------


def test_normalise_equals_the_formula_in_double_precision():
    images = golden.golden_batch(3, (2, 3, 40, 24))
    result = normalise(images, EDGENEXT)
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    assert result.dtype == np.float32 and result.flags["C_CONTIGUOUS"] and result.shape == images.shape
    assert np.abs(result - (images / 255.0 - mean) / std).max() < 1e-6


def test_normalise_without_mean_and_std_is_the_unit_range():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    result = normalise(images, EDGENEXT._replace(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    assert np.array_equal(result, np.float32(1 / 255.0) * images.astype(np.float32))


def test_folded_pixels_stay_as_they_are():
    images = golden.golden_batch(3, (1, 3, 8, 8))
    result = normalise(images, PIXELS)
    assert result.dtype == np.float32 and np.array_equal(result, images)


def test_normalise_gives_the_same_bits_on_every_numpy():
    result = normalise(golden.golden_batch(0, (2, 3, 64, 96)), EDGENEXT)
    assert golden.digest(result) == (
        "a53b38b0f1860e5f9980c8ebea4d1b92f208ac0354c1aa433f6f91da7c67d017")


@pytest.mark.parametrize("images", [
    np.zeros((1, 3, 4, 4), np.float32), np.zeros((3, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)])
def test_normalise_refuses_other_arrays(images):
    with pytest.raises(UsageError, match="uint8"):
        normalise(images, EDGENEXT)


# --- camera frames -----------------------------------------------------------------------------------------


def test_bgr_is_the_default_and_rgb_on_request():
    frame = noise(60, 80)
    rgb = preprocess(frame, EDGENEXT, color="rgb")
    assert np.array_equal(preprocess(np.ascontiguousarray(frame[:, :, ::-1]), EDGENEXT), rgb)
    assert not np.array_equal(preprocess(frame, EDGENEXT), rgb)
    assert np.array_equal(preprocess(Image.fromarray(frame), EDGENEXT), rgb)
    assert rgb.shape == (1, 3, 256, 256) and rgb.dtype == np.float32 and rgb.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_fourth_channel_is_dropped(color):
    frame = noise(60, 80, channels=4)
    assert np.array_equal(preprocess(frame, EDGENEXT, color), preprocess(frame[:, :, :3], EDGENEXT, color))


def test_grey_frame_is_repeated_in_all_channels():
    frame = noise(60, 80, channels=1)
    expected = preprocess(frame.repeat(3, axis=2), EDGENEXT)
    assert np.array_equal(preprocess(frame[:, :, 0], EDGENEXT), expected)
    assert np.array_equal(preprocess(frame, EDGENEXT), expected)


def test_views_of_a_larger_frame_work():
    frame = noise(90, 120)
    for view in (frame[10:70, 20:100], frame[::-1], frame[:, ::-1], frame[::2, ::2]):
        assert np.array_equal(preprocess(view, EDGENEXT), preprocess(view.copy(), EDGENEXT))


@pytest.mark.parametrize("frame", [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 2), np.uint8),
    np.zeros((4, 4, 5), np.uint8), np.zeros((1, 4, 4, 3), np.uint8), np.zeros((4,), np.uint8),
    np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), bool)])
def test_other_frames_are_refused(frame):
    with pytest.raises(UsageError, match=r"\[H, W, 3\]"):
        preprocess(frame, EDGENEXT)


def test_unknown_color_and_unknown_source_are_refused():
    with pytest.raises(UsageError, match="hsv"):
        preprocess(noise(4, 4), EDGENEXT, color="hsv")
    with pytest.raises(UsageError, match="list"):
        preprocess([[0, 0, 0]], EDGENEXT)


# --- photos ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_photo_of_another_mode_becomes_rgb(tmp_path, mode):
    path = str(tmp_path / "photo.tiff")
    image = Image.open(PHOTOS[0]).convert(mode)
    image.save(path)
    with Image.open(path) as saved:
        assert saved.mode == mode
    loaded = load_photo(path)
    assert loaded.mode == "RGB"
    assert np.array_equal(np.asarray(loaded), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode, suffix", [("I;16", "png"), ("F", "tiff"), ("I", "tiff")])
def test_photo_with_more_than_8_bits_is_refused_instead_of_clipped(tmp_path, mode, suffix):
    path = str(tmp_path / ("deep." + suffix))
    if mode == "I;16":
        Image.frombytes("I;16", (4, 4), np.arange(0, 64000, 4000, dtype="<u2").tobytes()).save(path)
    else:
        Image.new(mode, (4, 4), 1000).save(path)
    with pytest.raises(BadInputError, match="8 bits per channel expected"):
        load_photo(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tiff", "ppm"])
def test_formats_the_help_names_are_read(tmp_path, suffix):
    path = str(tmp_path / ("photo." + suffix))
    Image.open(PHOTOS[0]).resize((40, 30)).save(path)
    assert load_photo(path).size == (40, 30)


def test_path_object_and_name_with_another_ending_are_read(tmp_path):
    path = tmp_path / "no_ending"
    with open(PHOTOS[0], "rb") as stream:
        path.write_bytes(stream.read())
    assert np.array_equal(preprocess(path, EDGENEXT), preprocess(PHOTOS[0], EDGENEXT))


def photo_bytes(suffix="JPEG"):
    stream = io.BytesIO()
    Image.open(PHOTOS[0]).save(stream, suffix)
    return stream.getvalue()


def png_of_size(width, height):
    """Return a PNG that claims a size and holds no pixels worth the name."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(
        b"IEND", b"")


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"this is not an image", "is not an image"),
    (b"\x00" * 1000, "is not an image"),
    (photo_bytes()[:30], "image"),
    (photo_bytes()[:5000], "cannot be decoded"),
    (photo_bytes("PNG")[:5000], "cannot be decoded"),
    (photo_bytes("PNG")[:40], "image"),
    (photo_bytes("TIFF")[:5000], "cannot be decoded"),
    (png_of_size(20, 20), "cannot be decoded"),
    (png_of_size(12000, 8000), "12000x8000 pixels"),
    (png_of_size(100000, 100000), "cannot be decoded|pixels"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "is not an image"),
])
def test_bad_photo_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        load_photo(str(path))
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def opened_as(opening):
    try:
        with opening() as image:
            return image.format, image.mode, image.size, getattr(image, "n_frames", 1)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_a_jpeg_is_opened_as_pillow_opens_it(tmp_path, kind):
    """Whole and with a damaged header: `open_photo` goes past `Image.open`."""
    path = str(tmp_path / "photo.jpg")
    pictures = [Image.fromarray(noise(8, 16, seed=seed)) for seed in (0, 1)]
    if kind == "MPO" and "MPO" not in Image.SAVE_ALL:
        pytest.skip("this Pillow writes no MPO")
    pictures[0].save(path, kind, **({"save_all": True, "append_images": pictures[1:]} if kind == "MPO" else {}))
    with open(path, "rb") as stream:
        whole = stream.read()
    random = np.random.RandomState(1)
    found = set()
    for number in range(examples(200)):
        content = bytearray(whole)
        if number:
            content[random.randint(3, 200)] = random.randint(256)
        if number % 5 == 4:
            del content[random.randint(3, 200):]
        with open(path, "wb") as stream:
            stream.write(content)
        with no_warnings():
            ours, pillows = opened_as(lambda: open_photo(path, PHOTO_FORMATS)), opened_as(lambda: Image.open(path))
        assert ours == pillows or ours is BadInputError, number
        found.add(ours)
    assert (kind, "RGB", (16, 8), len(pictures) if kind == "MPO" else 1) in found
    assert UnidentifiedImageError in found


def test_missing_photo_and_folder_are_bad_input(tmp_path):
    with pytest.raises(BadInputError, match="not found"):
        load_photo(str(tmp_path / "none.jpg"))
    with pytest.raises(BadInputError, match="not a file"):
        load_photo(str(tmp_path))


def test_extremely_elongated_image_is_refused_before_memory_is_taken():
    for frame in (np.zeros((1, 20000, 3), np.uint8), np.zeros((20000, 1, 3), np.uint8)):
        with pytest.raises(BadInputError, match="elongated"):
            preprocess(frame, EDGENEXT)


def test_damaged_photo_is_either_read_or_bad_input(tmp_path):
    hypothesis = pytest.importorskip("hypothesis")
    strategies = pytest.importorskip("hypothesis.strategies")
    path = str(tmp_path / "photo")
    originals = []
    for suffix in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        stream = io.BytesIO()
        Image.open(PHOTOS[0]).resize((24, 16)).save(stream, suffix)
        originals.append(stream.getvalue())

    @hypothesis.settings(max_examples=examples(150), deadline=None, derandomize=True)
    @hypothesis.given(strategies.sampled_from(originals), strategies.integers(0, 2000),
                      strategies.binary(max_size=8), strategies.integers(0, 2000))
    def check(content, position, patch, length):
        damaged = content[:position] + patch + content[position + len(patch):]
        with open(path, "wb") as stream:
            stream.write(damaged[:max(length, 1)] if length % 3 == 0 else damaged)
        if os.path.getsize(path) == 0:
            return
        try:
            assert load_photo(path).mode == "RGB"
        except BadInputError as error:
            assert "\n" not in str(error)

    check()


@pytest.mark.parametrize("change", [
    {"crop_pct": 0.0}, {"crop_pct": -1.0}, {"crop_pct": 1.5}, {"crop_pct": float("nan")},
    {"crop_pct": 1e-300}, {"height": 0}, {"width": -32}, {"height": 10**9}, {"interpolation": "hamming"},
    {"fit": "squash"}, {"channel_order": "grb"}, {"pad_color": (0, 0, 0)}, {"fit": "letterbox"},
    {"fit": "letterbox", "pad_color": (0, 0, 256)}, {"fit": "letterbox", "pad_color": (114,)},
    {"mean": (0.5,)},
    {"std": (1.0, 1.0, 0.0)}, {"std": (1.0, 1.0, float("nan"))}, {"mean": (0.0, 0.0, float("inf"))},
    {"std": (1.0, 1.0, 1.0, 1.0)},
])
def test_impossible_preprocessing_is_bad_input(change):
    with pytest.raises(BadInputError, match="preprocessing cannot be done: .*{}".format(
            {"height": "size", "width": "size", "fit": "pad_color|fit"}.get(sorted(change)[0], sorted(change)[0]))):
        preprocess(noise(8, 8), EDGENEXT._replace(**change))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_a_photo_is_announced_before_it_is_decoded(tmp_path, monkeypatch, kind):
    """Or threads decode more at once than they may; Pillow decodes a PNG when it is asked for its orientation."""
    path, seen = str(tmp_path / "photo"), []
    Image.fromarray(noise(8, 16, seed=0)).save(path, kind)
    load = ImageFile.ImageFile.load

    def decode(image):
        seen.append("decoded")
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    read_photo(path, lambda image: seen.append("announced"))
    assert seen[0] == "announced" and "decoded" in seen
