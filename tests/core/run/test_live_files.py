"""edgenext-run on files and folders as streams: broken photos, a video's own times, the codec it is saved with."""
import json
import os
import subprocess
import sys

import pytest
from command_lines import run_here
from paths import ROOT
from PIL import Image

from edgenext_deploy.run import cli
from edgenext_deploy.run.video import VideoFile

pytest.importorskip("onnxruntime")

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")


@pytest.fixture
def run(capsys):
    def call(*arguments):
        return run_here(capsys, cli.command, "--engine", TINY, "--threads", "1", *arguments)

    return call


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in (("a.png", "red"), ("c.png", "blue")):
        Image.new("RGB", (64, 64), color).save(str(folder / name))
    (folder / "b.png").write_bytes(b"no photo")
    return folder


def test_a_folder_goes_on_after_a_broken_photo_and_ends_with_3(run, photos):
    code, out, err = run("--stream", photos, "--json")
    documents = [json.loads(line) for line in out.splitlines()]
    assert code == 3 and err.startswith("error: ") and "b.png" in err and len(err.splitlines()) == 1
    assert [document["image"] for document in documents if document["type"] == "frame"] == ["a.png", "c.png"]
    (broken,) = [document for document in documents if document["type"] == "error"]
    assert broken["image"] == "b.png" and "b.png" in broken["error"]
    assert documents[-1]["type"] == "summary" and documents[-1]["broken"] == 1 and documents[-1]["processed"] == 2
    code, out, err = run("--stream", photos)
    assert code == 3 and "end of source: 2 frames" in out and "reconnected 0, 1 photo not read" in out


def uneven_video(cv2, path):
    """Write a video of 12 frames/s and stretch all but the first six frames to half the rate; return the moments."""
    import numpy as np

    from edgenext_deploy.camera.synthetic import write_number

    listed = path.parent / "list.txt"
    lines = ["ffconcat version 1.0"]
    moments = []
    moment = 0.0
    for number in range(12):
        image = np.full((240, 320, 3), 90, np.uint8)
        write_number(image, number)
        cv2.imwrite(str(path.parent / "{}.png".format(number)), image)
        length = 0.05 if number < 6 else 0.2
        lines += ["file {}.png".format(number), "duration {}".format(length)]
        moments.append(moment)
        moment += length
    listed.write_text("\n".join([*lines, "file 11.png"]))
    done = subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(listed), "-vsync", "vfr", "-pix_fmt", "yuv420p",
                           str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return moments


@pytest.mark.real
def test_a_video_of_a_changing_rate_is_played_and_saved_at_its_own_times(run, tmp_path):
    cv2 = pytest.importorskip("cv2")
    from shutil import which

    if which("ffmpeg") is None:
        pytest.skip("no ffmpeg command to make the video")
    moments = uneven_video(cv2, tmp_path / "vfr.mp4")
    from edgenext_deploy.camera.opencv.library import has_gstreamer

    # Every frame has its time with FFmpeg; GStreamer plays at these times.
    timed = () if has_gstreamer(cv2) else ("--every-frame",)
    code, out, _ = run(tmp_path / "vfr.mp4", *timed, "--json", "--save", tmp_path / "out.avi")
    frames = [json.loads(line) for line in out.splitlines()][1:-1]
    assert code == 0
    if timed:
        assert [frame["position_s"] for frame in frames][:12] == pytest.approx(moments, abs=0.03)
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"))
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    assert length == pytest.approx(moments[-1], abs=0.5)
    code, out, _ = run(tmp_path / "vfr.mp4", "--json")
    assert 1.2 < json.loads(out.splitlines()[-1])["seconds"] < 3.5


def test_what_is_saved_names_its_codec(run, tmp_path):
    pytest.importorskip("cv2")
    code, _, err = run("synthetic://320x240@30?frames=5", "--every-frame", "--save", tmp_path / "out.mp4", "--json")
    assert code == 0 and ("5 frames, H.264" in err or "MPEG-4 part 2, which browsers do not play" in err)
    code, _, err = run("synthetic://320x240@30?frames=5", "--every-frame", "--save", tmp_path / "out.avi", "--json")
    assert code == 0 and "5 frames, Motion JPEG" in err


def test_h264_is_taken_where_opencv_has_it(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    video = VideoFile(str(tmp_path / "a.mp4"), 10.0)
    video.write(np.zeros((48, 64, 3), np.uint8), None)
    video.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"), cv2.CAP_FFMPEG)
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    assert code in (("avc1", "h264", "H264") if video.codec.startswith("H.264") else ("mp4v", "FMP4"))


CHILD = """
import os, sys
from edgenext_deploy.run.library_lines import quiet_libraries
quiet_libraries({debug})
os.write(2, b"[ WARN:0@0.1] open rtsp://me:secret@h/x?password=secret \\x1b[2J failed\\n")
print("ours", file=sys.stderr)
import time; time.sleep(0.5)
"""


@pytest.mark.parametrize("debug", [False, True])
def test_lines_of_libraries_are_hidden_or_have_no_passwords(debug):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    done = subprocess.run([sys.executable, "-c", CHILD.format(debug=debug)], cwd=ROOT, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0 and "ours" in lines and "secret" not in str(lines) and "\x1b" not in str(lines)
    assert len(lines) == (2 if debug else 1)


def test_a_video_that_the_disk_cut_off_is_kept_and_said(tmp_path):
    cv2 = pytest.importorskip("cv2")
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
            "from edgenext_deploy.run.cli import main; main()")
    done = subprocess.run([sys.executable, "-c", code, TINY, "synthetic://320x240@30?frames=40", "--every-frame",
                           "--save", str(tmp_path / "out.avi")], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"out.avi is cut off" in done.stderr, done.stderr
    video = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert video.read()[0]
