"""edgenext-run on streams: limits, JSON lines, signals, what it saves, and what it refuses."""
import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from command_lines import run_here
from paths import ROOT
from PIL import Image

from edgenext_deploy.run import cli, live, live_report, video

pytest.importorskip("onnxruntime")

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")
CHILD = [sys.executable, "-m", "edgenext_deploy.run.cli", "--engine", TINY, "--threads", "1"]


@pytest.fixture
def run(capsys):
    """Run edgenext-run in this process; returns (exit code, stdout, stderr)."""
    def call(*arguments):
        return run_here(capsys, cli.command, "--engine", TINY, "--threads", "1", *arguments)

    return call


def lines_of(out):
    documents = [json.loads(line) for line in out.splitlines()]
    assert documents[0]["type"] == "stream" and documents[-1]["type"] == "summary"
    assert all(document["type"] == "frame" for document in documents[1:-1])
    return documents[0], documents[1:-1], documents[-1]


def test_json_lines(run):
    code, out, err = run("synthetic://64x48@60?frames=8&color=blue", "--every-frame", "--json", "--top-k", "1")
    assert code == 0 and err == ""
    first, frames, summary = lines_of(out)
    assert first["source"] == "synthetic://64x48@60" and first["every_frame"] and first["random_weights"] is False
    assert [frame["number"] for frame in frames] == list(range(8))
    assert all(frame["predictions"][0]["label"] == "blue" and len(frame["predictions"]) == 1 for frame in frames)
    assert all(0 < frame["inference_ms"] < frame["latency_ms"] for frame in frames)
    assert summary["reason"] == "end of source"
    assert (summary["captured"], summary["processed"], summary["dropped"]) == (8, 8, 0)
    (seen,) = summary["seen"]
    assert (seen["label"], seen["frames"], seen["share"]) == ("blue", 8, 1.0)
    mean = sum(frame["predictions"][0]["probability"] for frame in frames) / 8
    assert seen["mean_score"] == pytest.approx(mean, abs=1e-4)
    latencies = sorted(frame["latency_ms"] for frame in frames)
    assert summary["latency_p50_ms"] == latencies[3] and summary["latency_max_ms"] == latencies[-1]


def test_json_lines_in_a_file_beside_the_text_or_the_lines(run, tmp_path):
    path = tmp_path / "frames.json"
    arguments = ("synthetic://64x48@60?frames=3&color=blue", "--every-frame", "--json-file", path)
    code, out, _ = run(*arguments)
    assert code == 0 and "end of source: 3 frames" in out
    first, frames, summary = lines_of(path.read_text())
    assert first["task"] == "classification" and len(frames) == summary["processed"] == 3
    code, out, _ = run(*arguments, "--json")
    assert code == 0 and out == path.read_text() and len(lines_of(out)[1]) == 3
    assert run("synthetic://", "--json-file", tmp_path / "none" / "x" / "f.json", "--frames", "1")[0] == 0
    assert len(lines_of((tmp_path / "none" / "x" / "f.json").read_text())[1]) == 1
    code, _, err = run("synthetic://", "--json-file", path / "f.json", "--frames", "1")
    assert code == 2 and "cannot write" in err


def test_limits(run):
    code, out, _ = run("synthetic://64x48@100", "--frames", "5", "--json")
    _, frames, summary = lines_of(out)
    assert code == 0 and len(frames) == summary["processed"] == 5 and summary["reason"] == "frame limit"
    assert summary["captured"] == summary["processed"] + summary["dropped"]
    start = time.perf_counter()
    code, out, _ = run("synthetic://64x48@50", "--duration", "0.5", "--json")
    assert code == 0 and 0.5 <= time.perf_counter() - start < 4.0
    _, frames, summary = lines_of(out)
    # The report starts a moment after the limit does, or before it.
    assert summary["reason"] == "time limit" and 0.4 <= summary["seconds"] < 1.5 and len(frames) >= 10


def test_text_has_a_summary_on_stdout_and_the_state_on_stderr(run, monkeypatch):
    monkeypatch.setattr(live_report, "_LOG_EVERY_S", 0.0)
    code, out, err = run("synthetic://64x48@100?frames=20&color=red", "--every-frame")
    assert code == 0
    for word in ("synthetic://64x48@100, 100 FPS", "end of source: 20 frames", "dropped 0", "p95", "tiny"):
        assert word in out, out
    lines = err.splitlines()
    assert len(lines) == 20 and all(line.startswith("red ") and "FPS  latency" in line for line in lines)
    assert "\x1b" not in out + err


def test_a_stream_ends_with_the_classes_by_their_share_of_the_frames(run, tmp_path):
    for name, color in (("a.png", (255, 0, 0)), ("b.png", (0, 255, 0)), ("c.png", (0, 255, 0))):
        Image.new("RGB", (64, 64), color).save(str(tmp_path / name))
    code, out, _ = run("--stream", tmp_path)
    lines = [line for line in out.splitlines() if " of the frames" in line]
    assert code == 0 and len(lines) == 2
    assert lines[0].startswith("green in 66.7% of the frames, mean probability there ")
    assert lines[1].startswith("red in 33.3% of the frames, mean probability there ")


@pytest.mark.parametrize("source, options, ends", [
    ("synthetic://64x48@60", (), False), ("synthetic://64x48@60", ("--frames", "2"), True),
    ("synthetic://64x48@60?frames=2", (), True), ("csi://0", (), False), (TINY, (), True)])
def test_what_never_ends_is_known(source, options, ends):
    frames = 2 if options else None
    assert live.never_ends(source, live.LiveOptions(frames=frames)) is not ends


def test_what_never_ends_says_how_to_end_it_and_answers_then():
    child = subprocess.Popen([*CHILD, "synthetic://64x48@60?color=green"], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, universal_newlines=True)
    first = child.stdout.readline()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert first.endswith("60 FPS; Ctrl-C ends it\n") and child.returncode == 130
    assert "green in 100.0% of the frames" in out


def test_an_untrained_network_ends_with_why_there_is_no_answer(capsys, random_engine):
    arguments = (random_engine, "synthetic://64x48@60?frames=3&color=blue", "--every-frame", "--threads", "1")
    assert run_here(capsys, cli.command, *arguments)[1].splitlines()[-1].startswith("answered; not shown")
    out = run_here(capsys, cli.command, *arguments, "--anyway")[1]
    assert out.splitlines()[-1].startswith("blue in 100.0%") and out.endswith("(random weights)\n")
    out = run_here(capsys, cli.command, *arguments, "--json")[1]
    assert [item["label"] for item in lines_of(out)[2]["seen"]] == ["blue"]


def test_opencv_says_nothing_before_the_error_does(tmp_path):
    pytest.importorskip("cv2")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8)
    done = subprocess.run([*CHILD, str(broken)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 3 and len(lines) == 2 and lines[0].startswith("error: ") and "fix: " in lines[1], lines


def test_labels_cannot_write_to_the_terminal(run, tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(["a\x1b[2Jb\rc\nd\u202ee"] * 10))
    code, out, _ = run("synthetic://64x48", "--frames", "3", "--labels", labels)
    assert code == 0 and "a\\x1b[2Jb\\rc\\nd\\u202ee in 100.0% of the frames" in out


def test_folder_stays_photos_unless_asked(run, tmp_path):
    for name, color in (("a.png", (255, 0, 0)), ("b.png", (0, 255, 0))):
        Image.new("RGB", (40, 50), color).save(str(tmp_path / name))
    code, out, _ = run(tmp_path, "--json")
    assert code == 0 and [image["predictions"][0]["label"] for image in json.loads(out)["images"]] == ["red", "green"]
    code, out, _ = run(tmp_path, "--stream", "--json")
    first, frames, summary = lines_of(out)
    assert code == 0 and first["every_frame"] and summary["dropped"] == 0
    assert [frame["predictions"][0]["label"] for frame in frames] == ["red", "green"]


@pytest.mark.parametrize("arguments, message", [
    (["x.jpg", "--save", "out.mp4"], "cannot save to out.mp4"), (["x.jpg", "--every-frame"], "--every-frame is for"),
    (["synthetic://", "x.jpg"], "must be the only source"),
    (["synthetic://", "synthetic://"], "must be the only source"),
    (["synthetic://", "--duration", "0"], "--duration"), (["synthetic://", "--duration", "nan"], "--duration"),
    (["synthetic://", "--frames", "0"], "frames"), (["synthetic://", "--width", "9"], "width"),
    (["csi://0 ! filesink location=/tmp/x"], "csi://0"), (["rtsp://h/x ! fakesink"], "RTSP"),
    (["http://h/x.mp4"], "nothing is read over HTTP"), (["https://u:secret@h/x"], "rtsp://"),
    (["gopher://h/x"], "unknown kind"), (["0", "1"], "must be the only source"),
    (["synthetic://", "--display", "--pixel-format", "nv12"], "need bgr"),
    (["synthetic://", "--pixel-format", "yuv"], "pixel-format"),
    (["x.jpg", "--pixel-format", "nv12"], "--pixel-format is for streams")])
def test_usage_errors(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and message in err


@pytest.mark.parametrize("arguments", [
    ["rtsp://me:SECRET@h/x", "rtsp://me:SECRET@h/x"], ["x.jpg", "rtsp://me:SE@CRET@h/x"],
    ["rtsp://me:SECRET@h/x\r"], ["synthetic://", "--save", "rtsp://h/x?password=SECRET"],
    ["rtsp://me:SECRET@h/x\r", "--debug"]])
def test_no_error_shows_a_password(run, arguments):
    code, out, err = run(*arguments)
    assert code == 2 and "***" in err and "CRET" not in out + err


def test_saved_video(run, tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "out.mp4"
    code, _, err = run("synthetic://320x240@30?frames=12&color=blue", "--every-frame", "--save", path)
    assert code == 0 and "12 frames" in err
    capture = cv2.VideoCapture(str(path))
    images = []
    while True:
        given, image = capture.read()
        if not given:
            break
        images.append(image)
    assert len(images) == 12 and capture.get(cv2.CAP_PROP_FPS) == 30.0
    capture.release()
    # The label is white on black at the bottom left; elsewhere the frame is blue.
    assert images[5][200:, :160].min(axis=2).max() > 150 and images[5][100:150].min(axis=2).max() < 60
    assert os.listdir(str(tmp_path)) == ["out.mp4"]
    other = tmp_path / "other"
    other.write_text("")
    assert os.stat(str(path)).st_mode == os.stat(str(other)).st_mode


def test_a_video_file_played_like_a_camera_and_saved(run, tmp_path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    from edgenext_deploy.camera.synthetic import number_in, write_number

    given, saved = str(tmp_path / "in.avi"), str(tmp_path / "out.avi")
    writer = cv2.VideoWriter(given, cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (320, 240))
    for number in range(20):
        image = np.full((240, 320, 3), (0, 255, 0), np.uint8)
        write_number(image, number)
        writer.write(image)
    writer.release()
    code, out, _ = run(given, "--save", saved, "--json", "--top-k", "1")
    first, frames, summary = lines_of(out)
    assert code == 0 and first["source_fps"] == 20.0 and not first["every_frame"]
    numbers = [frame["number"] for frame in frames]
    assert numbers == sorted(set(numbers)) and all(frame["predictions"][0]["label"] == "green" for frame in frames)
    assert summary["captured"] == 20 == summary["processed"] + summary["dropped"]
    assert summary["processed"] == len(frames) and frames[-1]["dropped"] <= summary["dropped"]
    # Within the pace of the file: what was captured first and last is as far apart as in the file.
    capture, shown = cv2.VideoCapture(saved), []
    while True:
        there, image = capture.read()
        if not there:
            break
        shown.append(number_in(image))
    assert set(shown) <= set(numbers) and shown == sorted(shown) and 15 <= len(shown) <= 40


def test_a_saved_stream_lasts_as_long_as_it_took(run, tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "out.avi"
    code, _, _ = run("synthetic://64x48@25", "--duration", "1.2", "--save", path, "--json")
    assert code == 0
    capture = cv2.VideoCapture(str(path))
    assert 20 <= capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 32 and capture.get(cv2.CAP_PROP_FPS) == 25.0


def test_video_repeats_and_skips_to_keep_time(tmp_path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    from edgenext_deploy.run.video import VideoFile

    written = VideoFile(str(tmp_path / "a.avi"), 10.0)
    image = np.zeros((49, 65, 3), np.uint8)
    counts = []
    for captured_at in (5.0, 5.1, 5.12, 5.5, 65.0, 65.1):
        written.write(image, captured_at)
        counts.append(written.frames)
    # On time; too early for a frame of its own; 0.38 s late; a minute away, of which two seconds are shown; on time.
    assert counts == [1, 2, 2, 6, 26, 27]
    written.close()
    written.close()
    (tmp_path / "plain").write_text("")
    lone = VideoFile(str(tmp_path / "lone.avi"), 10.0)
    lone.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    lone.close()
    assert cv2.VideoCapture(str(tmp_path / "lone.avi")).read()[0]
    modes = [os.stat(str(tmp_path / name)).st_mode for name in ("a.avi", "plain")]
    assert modes[0] == modes[1]  # whoever may read other files may watch it
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 27 and capture.read()[1].shape == (48, 64, 3)


def test_what_cannot_be_saved(run, tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "folder.mp4").mkdir()
    for path in ("out.gif", "none/out.mp4", "folder.mp4"):
        code, out, err = run("synthetic://64x48@30", "--frames", "1", "--save", tmp_path / path)
        assert code == 2 and out == "" and path in err
    assert os.listdir(str(tmp_path)) == ["folder.mp4"]


def test_display_without_a_display(run, monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, out, err = run("synthetic://64x48@30", "--display")
    assert code == 6 and out == "" and "display" in err and "fix:" in err


VISIBLE, AUTOSIZE = 4, 1


def window_double(monkeypatch, keys, shown, answer):
    """Put a double of OpenCV's windows in place; `answer` is what getWindowProperty returns for a property."""
    double = types.SimpleNamespace(
        WINDOW_NORMAL=0, WND_PROP_VISIBLE=VISIBLE, WND_PROP_AUTOSIZE=AUTOSIZE,
        error=RuntimeError, namedWindow=lambda title, flags: None,
        imshow=lambda title, image: shown.append(image.shape),
        waitKey=lambda delay: keys.pop(0) if keys else -1, getWindowProperty=lambda title, name: answer(name),
        destroyAllWindows=lambda: shown.append("closed"))
    monkeypatch.setattr(video, "load_cv2", lambda: double)
    monkeypatch.setenv("DISPLAY", ":0")
    return double


# What OpenCV's window.cpp answers about an open and a closed window.
@pytest.mark.parametrize("opened, closed", [
    ({VISIBLE: 1.0, AUTOSIZE: 0.0}, {VISIBLE: 0.0, AUTOSIZE: 0.0}),  # Qt: a closed window is only hidden
    ({VISIBLE: -1.0, AUTOSIZE: 0.0}, {VISIBLE: -1.0, AUTOSIZE: -1.0}),  # GTK: JetPack's OpenCV
], ids=["qt", "gtk"])
def test_a_window_ends_it_when_it_is_closed(run, monkeypatch, opened, closed):
    shown = []
    window_double(monkeypatch, [], shown, lambda name: (opened if len(shown) < 3 else closed)[name])
    code, out, _ = run("synthetic://64x48@100", "--display", "--frames", "5", "--json")
    assert code == 0 and lines_of(out)[2]["reason"] == "window closed" and lines_of(out)[2]["processed"] == 3


def test_a_window_ends_it_when_q_is_pressed(run, monkeypatch):
    keys, shown = [-1, -1, ord("q")], []
    double = window_double(monkeypatch, keys, shown, lambda name: 1.0)
    code, out, _ = run("synthetic://64x48@100", "--display", "--json")
    assert code == 0 and lines_of(out)[2]["reason"] == "window closed" and lines_of(out)[2]["processed"] == 3
    assert shown == [(48, 64, 3)] * 3 + ["closed"]

    def no_window(*arguments):
        raise double.error("The function is not implemented")

    double.namedWindow = no_window
    code, out, err = run("synthetic://64x48@100", "--display")
    assert code == 6 and "cannot open a window: The function" in err and "opencv-python" in err


def test_missing_sources(run, tmp_path):
    pytest.importorskip("cv2")
    for source in ("/dev/video250", tmp_path / "none.mp4"):
        code, out, err = run(source, "--json")
        assert code == 3 and out == "" and str(source) in err and "fix:" in err


def test_debug_prints_the_pipeline(run, tmp_path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    path = str(tmp_path / "a.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    code, _, err = run(path, "--debug")
    assert code == 0 and "debug: opening " + path in err
    code, _, err = run(path)
    assert code == 0 and "opening" not in err


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_signals_end_it_cleanly(name, code, tmp_path):
    arguments = ["synthetic://64x48@60", "--json"]
    try:
        import cv2
    except ImportError:
        cv2 = None
    else:
        arguments += ["--save", str(tmp_path / "out.avi")]
    child = subprocess.Popen(CHILD + arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             universal_newlines=True)
    begin = [child.stdout.readline() for _ in range(10)]
    child.send_signal(getattr(signal, name))
    rest, err = child.communicate(timeout=30)
    assert child.returncode == code
    _, frames, summary = lines_of("".join(begin) + rest)
    assert summary["reason"] == name and summary["processed"] == len(frames) >= 9
    assert summary["captured"] == summary["processed"] + summary["dropped"]
    if cv2 is None:
        assert err == ""
    else:
        assert err.splitlines()[-1].startswith(str(tmp_path / "out.avi")) and os.listdir(str(tmp_path)) == ["out.avi"]
        assert cv2.VideoCapture(str(tmp_path / "out.avi")).read()[0]


def test_a_closed_pipe_ends_it():
    child = subprocess.Popen([*CHILD, "synthetic://64x48@60", "--json"], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, universal_newlines=True)
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(timeout=30) == 0 and child.stderr.read() == ""
    child.stderr.close()


def test_a_terminal_has_one_line_that_is_rewritten():
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    child = subprocess.Popen([*CHILD, "synthetic://64x48@60?frames=40&color=red"], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=theirs, universal_newlines=True)
    out, _ = child.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 100000).decode()
    os.close(ours)
    assert child.returncode == 0 and "end of source" in out
    assert shown.count("\rred ") >= 2 and shown.count("\n") == 1 and "FPS  latency" in shown
