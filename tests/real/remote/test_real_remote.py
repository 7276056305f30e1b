"""The whole way over a real SSH server to a real Python 3.6, and what a second run leaves out."""
import json
import os
import subprocess

import pytest
from ssh_boards import needs_boards

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
    secrets = [desk.key.read_text().splitlines()[1], "PRIVATE KEY"]
    kept = [path for path in board.root.rglob("*") if path.is_file() and "venvs" not in path.parts]
    assert kept and not [path for path in kept for secret in secrets if secret.encode() in path.read_bytes()]
    code, out, err = desk.run("nano", "setup", "--remove")
    assert code == 0 and not board.root.exists(), err
    left = sorted(str(path.relative_to(board.home)) for path in board.home.rglob("*"))
    assert left == [".local", ".local/share"]


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
