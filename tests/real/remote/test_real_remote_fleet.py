"""A fleet of three real servers: one with TensorRT's double behind a slow line, one plain, one that dies."""
import json
import os
import subprocess
import threading
import time

import board_double
import pytest
from paths import CAT
from slow_line import SlowLine
from ssh_boards import SshBoard, needs_boards

pytestmark = [pytest.mark.real, pytest.mark.sweep, needs_boards]
QUICK = ("--duration", "0.3", "--warmup", "0.1")
FLEET = """
[[board]]
name = "fast"
host = "fast"
tags = ["lab"]
[[board]]
name = "slow"
host = "slow"
device = "nano"
tags = ["lab"]
[[board]]
name = "dying"
host = "dying"
tags = ["lab"]
"""


def when(condition, then):
    def watch():
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if condition():
                then()
                return
            time.sleep(0.02)
    threading.Thread(target=watch, daemon=True).start()


def test_a_fleet_of_three_of_which_one_dies(desk):
    desk.add("fast", environment=desk.index)
    slow = SshBoard(desk.folder, "slow", desk.key,
                    environment=dict(desk.index, **board_double.equip(desk.folder / "site"))).start()
    desk.boards.append(slow)
    line = SlowLine(slow.port, 2e6)
    desk.know(slow, line.port)
    dying = desk.add("dying", environment=desk.index)
    (desk.folder / "boards.toml").write_text(FLEET)
    when(lambda: (dying.root / "jobs").exists(), dying.die)
    # These boards say what they are; the machine below them does not.
    words = ("--tag", "lab", "bench", "--variant", "icons", "--fp16", "--allow-mismatch", *QUICK)
    # The lost connection is tried again for two minutes.
    code, out, err = desk.run(*words, "--json", timeout=400)
    data = json.loads(out)
    hosts = {host["host"]: host for host in data["hosts"]}
    assert [hosts[name]["exit_code"] for name in ("fast", "slow", "dying")] == [0, 0, 6], out
    assert code == data["exit_code"] == 6
    assert "no SSH server answers" in hosts["dying"]["error"] or "has ended" in hosts["dying"]["error"]
    assert [hosts[name]["result"]["runtime"] for name in ("fast", "slow")] == ["onnxruntime", "tensorrt"]
    built = hosts["slow"]["result"]["built"]
    sidecar = json.loads((desk.folder / built["sidecar"]).read_text())
    assert sidecar["tensorrt"] == "8.2.1.8" and sidecar["precision"] == "fp16"
    assert (desk.folder / built["timing_cache"]).stat().st_size > 20
    assert os.path.exists(built["there"])
    # The table for people, of the two that are left; the third stays away and does not stop them.
    code, out, err = desk.run(*words, timeout=400)
    assert code == 6 and "fast-icons.json" in out and "slow-icons.json" in out, err
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [["fast", "ok"], ["slow", "ok"], ["dying", "failed"]]
    assert "dying: error: dying: no SSH server answers" in err and "icons.plan" in out and "icons.onnx" in out
    # A board of another device is refused.
    code, out, err = desk.run("fast", "bench", "--variant", "icons", "--fp16", "--device", "nano", *QUICK)
    assert code == 4 and "another device: Jetson Nano expected" in err
    # The plan runs in place of its graph, and the graph where it is asked for.
    engine = next((desk.folder / "cache" / "exports").glob("*/icons.onnx"))
    for words, runtime in (((), "tensorrt 8.2.1"), (("--runtime", "onnxruntime"), "onnxruntime 1.10.0")):
        code, out, err = desk.run("slow", "run", engine, CAT, *words)
        assert code == 0 and runtime in out and "cat" in out, err
    line.close()


def test_the_lines_of_shell_line_do_the_same(desk):
    desk.add("nano", environment={"PIP_NO_INDEX": "1"})
    code, out, err = desk.run("nano", "shell-line", "setup", "--offline")
    assert code == 0, err
    subprocess.run(["sh", "-e"], input=out.encode(), env=desk.environ, check=True)
    code, out, err = desk.run("nano", "setup", "--offline")
    assert code == 0 and "environment: there already" in err and "inference is possible" in out, err
    (desk.folder / "camera").write_text("rtsp://me:s3cret@camera/")
    code, out, err = desk.run("nano", "shell-line", "run", "xxs.onnx", "@camera")
    assert code == 0 and "rtsp://me:***@camera/" in out and "@-' < FILE" in err and "s3cret" not in out + err


def test_the_page_of_a_run_is_forwarded(desk):
    import urllib.request

    from ssh_boards import free_port

    desk.add("nano", environment=desk.index)
    assert desk.run("nano", "setup")[0] == 0
    assert desk.run("--variant", "icons", "--image-size", "64", "-o", desk.folder,
                    module="edgenext_deploy.export.commands.cli")[0] == 0
    port = free_port()
    process = desk.start("nano", "run", "icons.onnx", "synthetic://64x48@10", "--serve", port)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:{}/healthz".format(port), timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.2)
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[0].decode()
    assert process.returncode in (130, 143), said
