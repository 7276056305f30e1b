"""Pixel formats, and NV12 against OpenCV and against the formula."""
import numpy as np
import pytest
from frame_samples import EDGENEXT, noise

from edgenext_deploy.errors import UsageError
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.preprocess.pixel_formats import frame_layout, nv12_to_rgb


def bt601(y, u, v):
    """ITU-R BT.601, limited range, in floating point."""
    red = 255 / 219.0 * (y - 16) + 255 / 224.0 * 1.402 * (v - 128)
    green = (255 / 219.0 * (y - 16) - 255 / 224.0 * 0.344136 * (u - 128) - 255 / 224.0 * 0.714136 * (v - 128))
    blue = 255 / 219.0 * (y - 16) + 255 / 224.0 * 1.772 * (u - 128)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


def test_nv12_is_bt601():
    frame = np.empty((6, 4), np.uint8)
    for y, u, v in [(16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110), (126, 128, 128),
                    (0, 0, 0), (255, 255, 255), (180, 200, 60)]:
        frame[:4], frame[4:, 0::2], frame[4:, 1::2] = y, u, v
        found = nv12_to_rgb(frame)
        assert found.shape == (4, 4, 3) and (found == found[0, 0]).all()
        assert np.abs(found[0, 0] - bt601(max(y, 16), u, v)).max() <= 1.0, (y, u, v)


def test_nv12_equals_opencv_bit_for_bit():
    cv2 = pytest.importorskip("cv2")
    for height, width in ((2, 2), (48, 64), (90, 122)):
        frame = noise(height * 3 // 2, width, 0, seed=height)
        assert np.array_equal(nv12_to_rgb(frame), cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12))


def test_the_exact_way_takes_nv12():
    frame = noise(90, 80, 0)
    assert np.array_equal(preprocess(frame, EDGENEXT, "nv12"), preprocess(nv12_to_rgb(frame), EDGENEXT, "rgb"))


@pytest.mark.parametrize("shape, color, expected", [
    ((4, 6, 3), "bgr", ("bgr", 3, (2, 1, 0), 6, 4)), ((4, 6, 3), "rgb", ("rgb", 3, (0, 1, 2), 6, 4)),
    ((4, 6, 4), "bgr", ("bgrx", 4, (2, 1, 0), 6, 4)), ((4, 6, 4), "rgb", ("rgbx", 4, (0, 1, 2), 6, 4)),
    ((4, 6), "bgr", ("grey", 1, (0, 0, 0), 6, 4)), ((4, 6, 1), "rgb", ("grey", 1, (0, 0, 0), 6, 4)),
    ((6, 6), "nv12", ("nv12", 1, (0, 0, 0), 6, 4))])
def test_layouts(shape, color, expected):
    layout = frame_layout(np.zeros(shape, np.uint8), color)
    assert (*layout.format, layout.width, layout.height) == expected


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (6, 6, 1), (0, 6), (6,)])
def test_no_nv12(shape):
    with pytest.raises(UsageError, match=r"H \* 3 / 2"):
        frame_layout(np.zeros(shape, np.uint8), "nv12")
