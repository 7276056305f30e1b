"""The fast way for camera frames against the exact one."""
import sys
import threading
import time

import numpy as np
import pytest
from frame_samples import (
    COLORS,
    EDGENEXT,
    ODD_SIZES,
    OPTIONS,
    SIZES,
    STRETCHED,
    check_close,
    exact,
    frame_of,
    gradient,
    grey_levels,
    noise,
    photo,
    sized,
)
from PIL import Image

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess import cpu
from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.preprocess.taps import make_taps, resampling

PICTURES = {"noise": noise(480, 640), "gradient": gradient(480, 640), "cat": photo("cat.jpg"),
            "coffee": photo("coffee.jpg"), "rocket": photo("rocket.jpg"),
            "black and white": noise(200, 300) // 128 * 255}


@pytest.mark.parametrize("preprocessing", [
    EDGENEXT, STRETCHED, EDGENEXT._replace(folded=True), EDGENEXT._replace(crop_pct=0.95),
    EDGENEXT._replace(height=128, width=320), *OPTIONS.values()],
    ids=["crop", "stretch", "folded", "0.95", "wide", *OPTIONS])
@pytest.mark.parametrize("picture", sorted(PICTURES))
def test_within_one_grey_level_of_the_exact_way(picture, preprocessing):
    frame = frame_of("bgr", PICTURES[picture])
    result = CpuPreprocessor(preprocessing)(frame)
    assert result.shape == (1, 3, preprocessing.height, preprocessing.width) and result.dtype == np.float32
    assert result.flags["C_CONTIGUOUS"]
    check_close(result, "bgr", frame, preprocessing)


@pytest.mark.parametrize("whole", [EDGENEXT, STRETCHED, OPTIONS["letterbox"]], ids=["crop", "stretch", "letterbox"])
@pytest.mark.parametrize("name", sorted(COLORS))
def test_every_format_and_size(name, whole):
    preprocessing = sized(whole, 64)
    prepare = CpuPreprocessor(preprocessing)
    for seed, (width, height) in enumerate(SIZES + ([] if name == "nv12" else ODD_SIZES)):
        frame = frame_of(name, noise(height, width, seed=seed), seed)
        check_close(prepare(frame, COLORS[name]), name, frame, preprocessing)


def test_where_grey_levels_are_equal_the_bits_are():
    frame = noise(300, 400)
    fast, slow = CpuPreprocessor(EDGENEXT)(frame), preprocess(frame, EDGENEXT)
    same = np.round(grey_levels(fast, EDGENEXT)) == exact("bgr", frame, EDGENEXT)
    assert same.mean() > 0.998 and np.array_equal(fast[0][same], slow[0][same])


def test_views_of_a_larger_frame_work():
    prepare = CpuPreprocessor(sized(EDGENEXT, 64))
    frame = noise(90, 120)
    for view in (frame[10:70, 20:100], frame[::-1], frame[:, ::-1], frame[::2, ::2], frame[:, :, 0]):
        assert np.array_equal(prepare(view), prepare(view.copy()))
    grid = noise(180, 120, 0)
    assert np.array_equal(prepare(grid[::2], "nv12"), prepare(grid[::2].copy(), "nv12"))


def test_a_frame_higher_than_a_strip_and_one_row_of_rest(monkeypatch):
    monkeypatch.setattr(cpu, "_STRIP", 32)
    for height in (64, 65, 66, 97):
        frame = noise(height, 80, seed=height)
        check_close(CpuPreprocessor(sized(STRETCHED, 48))(frame), "bgr", frame, sized(STRETCHED, 48))


def test_results_belong_to_the_caller_and_sizes_may_alternate():
    prepare = CpuPreprocessor(sized(EDGENEXT, 32))
    frames = [noise(40 + 2 * index, 60, seed=index) for index in range(7)]
    first = [prepare(frame) for frame in frames]
    kept = [result.copy() for result in first]
    for frame, result in zip(frames, kept):
        assert np.array_equal(prepare(frame), result)
    assert all(np.array_equal(result, copy) for result, copy in zip(first, kept))
    assert len(prepare._scalers) <= cpu._KEPT


def test_four_threads_at_once():
    prepare = CpuPreprocessor(sized(EDGENEXT, 64))
    frames = [noise(100, 120, seed=index) for index in range(4)]
    expected = [prepare(frame) for frame in frames]
    wrong = []

    def work(index):
        for _ in range(20):
            if not np.array_equal(prepare(frames[index]), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_refused():
    prepare = CpuPreprocessor(EDGENEXT)
    for frame, color, message in ((np.zeros((4, 4, 3), np.float32), "bgr", "uint8"), (noise(4, 4, 2), "bgr", "uint8"),
                                  (noise(4, 4), "hsv", "hsv"), (noise(4, 4), "nv12", "NV12"),
                                  (noise(4, 4, 0), "nv12", "NV12"), (noise(6, 3, 0), "nv12", "NV12")):
        with pytest.raises(UsageError, match=message):
            prepare(frame, color)
    with pytest.raises(BadInputError, match="elongated"):
        prepare(np.zeros((1, 20000, 3), np.uint8))
    with pytest.raises(BadInputError, match="preprocessing"):
        CpuPreprocessor(EDGENEXT._replace(crop_pct=0.0))


def test_taps_cover_the_crop_and_no_more():
    columns, rows = resampling(1280, 720, EDGENEXT)
    # 519 x 292 pixels are scaled, of which columns 132 (rounded half to even) to 387 and rows 18 to 273 are cropped.
    assert (columns.first, columns.last, rows.first, rows.last) == (322, 962, 40, 680)
    for taps in (columns, rows, make_taps(30, 64, 0, 64), make_taps(7, 7, 2, 3)):
        assert np.abs(taps.weights.sum(axis=1) - 1.0).max() < 1e-6
        assert (taps.starts >= 0).all() and (taps.starts + taps.counts <= taps.last - taps.first).all()
        assert taps.first % 2 == 0
    same = make_taps(7, 7, 2, 3)
    assert same.first == 0 and np.array_equal(same.weights.argmax(axis=1) + same.starts, [2, 3, 4])


# --- speed ---------------------------------------------------------------------------------------------------


def usual(frame):
    """What torchvision's Resize, CenterCrop, ToTensor and Normalize do with a camera frame, as usually written."""
    image = Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
    scaled = image.resize((519, 292), Image.BICUBIC).crop((132, 18, 132 + 256, 18 + 256))
    pixels = np.asarray(scaled).astype(np.float32) / np.float32(255.0)
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (EDGENEXT.mean, EDGENEXT.std))
    return np.ascontiguousarray((pixels.transpose(2, 0, 1) - mean) / std)[np.newaxis]


def measure(rounds=15):
    """Return the milliseconds of the usual pipeline and of the fast way, and their ratio: medians, interleaved."""
    frame, prepare = noise(720, 1280), CpuPreprocessor(EDGENEXT)
    assert np.abs(usual(frame) - preprocess(frame, EDGENEXT)).max() < 1e-5
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        usual(frame)
        between = time.perf_counter()
        prepare(frame)
        times.append((between - start, time.perf_counter() - between))
    before, after = (np.array(values[1:]) * 1e3 for values in zip(*times))
    return float(np.median(before)), float(np.median(after)), float(np.median(before / after))


@pytest.mark.serial
def test_it_is_faster_than_the_usual_pipeline():
    # Three times is what it is made for. Old numpy and Pillow, and a machine with other work, get some room.
    assert measure()[2] > (2.5 if sys.version_info >= (3, 8) else 1.8)


if __name__ == "__main__":
    print("usual {:.2f} ms, fast {:.2f} ms, {:.1f} times faster".format(*measure(60)))  # noqa: T201
