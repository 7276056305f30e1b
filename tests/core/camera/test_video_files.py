"""Frames from folders, video files and the test picture."""
import time

import numpy as np
import pytest
from camera_checks import add_up, check_newest
from PIL import Image

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
