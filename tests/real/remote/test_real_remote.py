"""The whole way over a real SSH server to a real Python 3.6, and what a second run leaves out."""
import json
import os
import subprocess

import pytest
from secret_watch import SecretWatch, files_with, sees_what_is_there
from ssh_boards import free_port, needs_boards

from edgenext_deploy.benchmarks.measuring.measurement import read_report

pytestmark = [pytest.mark.real, needs_boards]
QUICK = ("--duration", "0.2", "--warmup", "0.1")


def steps_of(host):
    return {step["title"]: step["skipped"] for step in host["steps"]}


def test_one_command_from_a_bare_board_to_a_report(desk):
    board = desk.add("nano", environment=desk.index)
    words = ("nano", "bench", "--variant", "xxs", "--image-size", "64", *QUICK, "--json")
    code, out, err = desk.run(*words)
    assert code == 0, out + err
    (first,) = json.loads(out)["hosts"]
    report = read_report(os.path.join(str(desk.folder), first["result"]["report"]))
    assert report.records[0].versions.python == "3.6.15" and report.records[0].versions.onnxruntime == "1.10.0"
    assert first["result"]["runtime"] == "onnxruntime" and first["result"]["p50_ms"] > 0
    assert not [title for title, skipped in steps_of(first).items() if skipped] and first["sent_bytes"] > 5e6
    # The second run goes straight to the measurement.
    code, out, err = desk.run(*words)
    assert code == 0, out + err
    (second,) = json.loads(out)["hosts"]
    assert steps_of(second) == {"connect": False, "environment": True, "export xxs for nano": True,
                                "copy xxs.onnx": True, "self-test": False, "measure": False}
    assert second["sent_bytes"] < 100e3 and second["received_bytes"] < 1e6
    # As a user would look at it, with the other names of the same machinery.
    photo = os.path.join(os.path.dirname(__file__), "..", "..", "..", "edgenext_deploy", "data", "photos", "cat.jpg")
    engine = next((desk.folder / "cache" / "exports").glob("*/xxs.onnx"))
    code, out, err = desk.run(engine, photo, "--anyway", "--on", "nano", "--json-file", "answers.json",
                              module="edgenext_deploy.run.cli")
    assert code == 0 and json.loads((desk.folder / "answers.json").read_text()), out + err
    code, out, err = desk.run("nano", "logs")
    assert code == 0 and "edgenext-run on nano" in out and "measure xxs.onnx" in out
    secrets_stay_secret(desk, board, engine)
    code, out, err = desk.run("nano", "setup", "--remove")
    assert code == 0 and not board.root.exists(), err
    left = sorted(str(path.relative_to(board.home)) for path in board.home.rglob("*"))
    assert left == [".local", ".local/share"]


def secrets_stay_secret(desk, board, engine):
    """A camera's password, a page's token and the key are in no process list, log, report or line on the console."""
    camera, token = "s3cret-of-the-camera", "s3cret-of-the-page"
    secrets = [camera, token, *desk.key.read_text().splitlines()[1:-1]]
    (desk.folder / "camera").write_text("rtsp://me:{}@127.0.0.1:9/live\n".format(camera))
    (desk.folder / "token").write_text(token)
    assert sees_what_is_there()
    said = []
    with SecretWatch(secrets) as watch:
        # The board has no OpenCV, so the camera is an error; the second run has a page.
        for words, expected in ((("@camera", "--json-file", "seen.json"), 6),
                                (("synthetic://64x48@10", "--duration", "2", "--serve", free_port(), "--serve-token",
                                  "@token", "--json-file", "seen.json"), 0)):
            code, out, err = desk.run("nano", "run", engine, "--anyway", "--debug", *words)
            assert code == expected, out + err
            said.append(out + err)
    assert watch.looks > 20 and watch.seen == set()
    assert "cameras and videos need" in said[0] and "token=***" in said[1]
    for module, words in ((None, ("nano", "logs", "--json")), (None, ("nano", "shell-line", "run", engine, "@camera")),
                          ("edgenext_deploy.run.cli", (engine, "@camera", "--on", "nano"))):
        said.append("".join(map(str, desk.run(*words, **({} if module is None else {"module": module})))))
    assert not [secret for secret in secrets for text in said if secret in text]
    left = files_with(secrets, board.home, desk.folder)
    assert {path.name for path in left if board.folder not in path.parents} == {"camera", "token", "key"}
    assert [path for path in left if board.home in path.parents] == []


def test_the_ssh_options_in_force_are_the_users(desk):
    """`ssh -G` prints them; our command line changes none but BatchMode, where nobody can answer."""
    from edgenext_deploy.remote.link.ssh import Route, command_line

    desk.know_only("nano")
    before = os.environ.get("EDGENEXT_SSH")
    os.environ["EDGENEXT_SSH"] = desk.environ["EDGENEXT_SSH"]
    try:
        ours = command_line(Route("nano"), batch=False)
    finally:
        os.environ.pop("EDGENEXT_SSH")
        os.environ.update({} if before is None else {"EDGENEXT_SSH": before})
    theirs = subprocess.run(["ssh", "-F", str(desk.config), "-G", "nano"], stdout=subprocess.PIPE, check=True).stdout
    found = subprocess.run([*ours[:ours.index("--")], "-G", "nano"], stdout=subprocess.PIPE, check=True).stdout
    assert b"identitiesonly yes" in theirs and b"stricthostkeychecking" in theirs
    # -T, because no terminal is wanted there.
    assert set(found.splitlines()) ^ set(theirs.splitlines()) <= {b"requesttty auto", b"requesttty false"}
