"""Frames from folders, video files and the test picture."""
import struct
import time

import numpy as np
import pytest
from camera_checks import add_up, check_newest
from PIL import Image

from edgenext_deploy.camera.opencv.orientation import turn_of
from edgenext_deploy.camera.reader import Camera
from edgenext_deploy.camera.synthetic import number_in
from edgenext_deploy.errors import BadInputError, UsageError


def test_a_folder_is_read_in_order_photo_by_photo(tmp_path):
    for name, color in (("b.png", (0, 255, 0)), ("a.PNG", (255, 0, 0)), (".c.png", (0, 0, 255))):
        Image.new("RGB", (5, 4), color).save(str(tmp_path / name))
    (tmp_path / "notes.txt").write_text("x")
    with Camera(str(tmp_path)) as camera:
        time.sleep(0.05)
        colors = [camera.read(5.0).image[0, 0].tolist() for _ in range(2)]
        assert camera.read(5.0) is None
    assert colors == [[0, 0, 255], [0, 255, 0]]  # BGR
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="no photo"):
        Camera(str(tmp_path / "empty"))
    (tmp_path / "d.png").write_bytes(b"no image")
    Image.new("RGB", (5, 4), "white").save(str(tmp_path / "e.png"))
    with Camera(str(tmp_path)) as camera:
        assert [camera.read(5.0).file for _ in range(3)] == ["a.PNG", "b.png", "e.png"]
        assert camera.read(5.0) is None and camera.ended
        ((file, error),) = camera.broken
    assert file == "d.png" and "d.png" in error and camera.counters == (3, 3, 0, 0, 0)


@pytest.mark.parametrize("options", [{"width": 31}, {"height": 100000}, {"fps": 0.0}, {"fps": float("nan")}])
def test_sizes_and_rates_are_checked(options):
    with pytest.raises(UsageError):
        Camera("synthetic://", **options)
    with pytest.raises(UsageError):
        Camera("synthetic://9x9@30")


@pytest.fixture
def numbered_video(tmp_path):
    """Return a function that writes a video whose frames carry their numbers."""
    cv2 = pytest.importorskip("cv2")
    from edgenext_deploy.camera.synthetic import write_number

    def make(name, codec, frames, fps):
        path = str(tmp_path / name)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), fps, (320, 240))
        assert writer.isOpened()
        for number in range(frames):
            image = np.full((240, 320, 3), 90, np.uint8)
            write_number(image, number)
            writer.write(image)
        writer.release()
        return path

    return make


@pytest.mark.parametrize("name, codec", [("a b.mp4", "mp4v"), ("a!b.avi", "MJPG")])
def test_a_video_file_gives_every_frame(numbered_video, name, codec):
    with Camera(numbered_video(name, codec, 40, 200.0), every_frame=True, width=256, height=192) as camera:
        frames = [camera.read(5.0) for _ in range(40)]
        assert camera.read(5.0) is None
    assert [number_in(frame.image) for frame in frames] == list(range(40))
    assert frames[0].image.shape == (192, 256, 3) and camera.counters == (40, 40, 0, 0, 0)
    assert camera.fps == 200.0


@pytest.mark.parametrize("asked, shape", [({"width": 160}, (120, 160, 3)), ({"height": 120}, (120, 160, 3)),
                                          ({"width": 33}, (24, 33, 3)), ({}, (240, 320, 3))])
def test_one_side_alone_keeps_a_videos_shape(numbered_video, asked, shape):
    with Camera(numbered_video("a.avi", "MJPG", 1, 30.0), every_frame=True, **asked) as camera:
        assert camera.read(5.0).image.shape == shape


# The matrix of a track: a, b, u, c, d, v, x, y, w, ISO/IEC 14496-12; degrees clockwise, and where the white corner is.
@pytest.mark.parametrize("turn, matrix, corner, shape", [
    (90, (0, 1, -1, 0), (0, -1), (320, 240)), (180, (-1, 0, 0, -1), (-1, -1), (240, 320)),
    (270, (0, -1, 1, 0), (-1, 0), (320, 240)), (0, (1, 0, 0, 1), (0, 0), (240, 320))])
def test_a_phones_video_is_turned(tmp_path, turn, matrix, corner, shape):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (320, 240))
    image = np.zeros((240, 320, 3), np.uint8)
    image[:100, :100] = 255
    writer.write(image)
    writer.write(image)
    writer.release()
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value * 65536 for value in matrix)
    content[start:start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
    assert turn_of(str(path)) == turn
    for options in ({}, {"width": shape[1] // 2}, {"width": shape[1] // 2, "height": shape[0] // 2}):
        with Camera(str(path), every_frame=True, **options) as camera:
            found = camera.read(5.0).image
        size = (shape[0] // 2, shape[1] // 2) if options else shape
        assert found.shape[:2] == size
        bright = [(row, column) for row in (0, -1) for column in (0, -1)
                  if found[row * 20 + 10 * (row == 0) - 10 * (row < 0), column * 20 + 10 * (column == 0)].mean() > 128]
        assert bright == [corner]


def test_no_other_file_is_turned(tmp_path):
    for content in (b"", b"x" * 100, b"\x00\x00\x00\x08ftyp" + b"\x00" * 50, b"\x00\x00\x00\x10ftypmp42aaaa"
                     b"\x00\x00\x00\x01moov" + b"\xff" * 8):
        (tmp_path / "a.mp4").write_bytes(content)
        assert turn_of(str(tmp_path / "a.mp4")) == 0
    assert turn_of(str(tmp_path / "none.mp4")) == 0


def test_nv12_has_no_odd_sizes():
    for options in ({"width": 322}, {"height": 241}):
        with pytest.raises(UsageError, match="NV12 needs"):
            Camera("csi://0", pixel_format="nv12", **options)


def test_a_video_file_is_played_like_a_camera(numbered_video):
    path = numbered_video("a.mp4", "mp4v", 60, 60.0)
    start = time.perf_counter()
    with Camera(path) as camera:
        numbers, _ = check_newest(camera, 60, 0.05)
        assert camera.read(5.0) is None
    assert 0.9 < time.perf_counter() - start < 3.0
    assert numbers[-1] == 59 and 10 <= len(numbers) <= 25
    assert camera.counters.captured == 60 and add_up(camera.counters)


def test_files_that_are_no_videos(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "a.mp4").write_bytes(b"not a video, but long enough to be looked at" * 10)
    with pytest.raises(BadInputError, match="not a video"):
        Camera(str(tmp_path / "a.mp4"))
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(BadInputError, match="empty"):
        Camera(str(tmp_path / "b.mp4"))
    with pytest.raises(BadInputError, match="not found"):
        Camera(str(tmp_path / "c.mp4"))


def test_the_end_of_a_gif_is_seen(tmp_path):
    """OpenCV never sees it through GStreamer."""
    pytest.importorskip("cv2")
    pictures = [Image.new("RGB", (64, 48), (number * 60, 0, 0)) for number in range(4)]
    pictures[0].save(str(tmp_path / "a.gif"), save_all=True, append_images=pictures[1:], duration=50)
    with Camera(str(tmp_path / "a.gif"), every_frame=True) as camera:
        found = [camera.read(10.0) for _ in range(5)]
        assert found[4] is None and camera.ended and all(frame is not None for frame in found[:4])
