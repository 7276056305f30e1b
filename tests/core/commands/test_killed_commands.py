"""Commands are killed at every call that changes the disk: what is left is old or new, and the next run is as ever."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import every_command
import killer
import pytest
from sweeps import sweep

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.plan_check import find_record

COMMANDS = {
    "build": ("edgenext_deploy.engines.cli", ["engine/tiny.onnx", "--target", "rtx", "--force"]),
    "export": ("edgenext_deploy.export.commands.cli", ["--variant", "xxs", "--image-size", "64x64", "--output", "made",
                                              "--force"]),
    "eval": ("edgenext_deploy.benchmarks.accuracy.cli", [*every_command.ENGINE, "--data", "photos", "--resume",
                                                         "rows.jsonl", "--json-file", "result.json"]),
}
# Exporting and TensorRT-RTX need a later Python than the device's.
RUNNABLE = sorted(COMMANDS) if sys.version_info >= (3, 10) else ["eval"]


def run(command, here, kill_at=0, after=False, kill_after_s=None, seed=0, calls=killer.CALLS):
    """Run a command that is killed, and return its exit code; -9 if it was."""
    module, arguments = COMMANDS[command]
    arguments = [*arguments, "--seed", str(seed)] if command == "export" else arguments
    code = "import sys\nsys.path.pop(0)\nfrom {} import main\nmain()".format(module)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *[os.path.join(str(here), word) if word in os.listdir(str(here)) or "/" in word or
                                       word in ("made", "rows.jsonl", "result.json") else word for word in arguments]],
        cwd=str(here), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={
            **killer.environment(here, here.parent / "killer", kill_at, after, calls),
            "EDGENEXT_CACHE": str(here.parent / "cache"), "TMPDIR": str(here.parent / "tmp")})
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        process.kill()
    errors = process.communicate(timeout=120)[1].decode("utf-8", "replace")
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode


def check(command, here):
    """Whatever lies there is whole."""
    if command == "build" and (here / "engine" / "tiny.plan").exists():
        plan = open_engine_file(str(here / "engine" / "tiny.plan"))
        assert find_record(plan.path) is not None and plan.manifest()
    if command == "export" and (here / "made" / "xxs.onnx").exists():
        assert open_engine_file(str(here / "made" / "xxs.onnx")).manifest()
    if command == "eval" and (here / "result.json").exists():
        json.loads((here / "result.json").read_text())


def finish(command, here):
    """The next run works, and leaves nothing but what it made."""
    assert run(command, here) == 0
    check(command, here)
    assert [name for folder in (here, here / "engine", here / "made", here.parent / "tmp") if folder.exists()
            for name in os.listdir(str(folder)) if name.startswith((".", "edgenext-"))] == []


@pytest.fixture
def ready(here):
    """Return the folder, and one for temporary files next to it."""
    (here.parent / "tmp").mkdir()
    return here


@pytest.mark.parametrize("command", sweep(["build", "export"], always=["build"]))
@pytest.mark.skipif("build" not in RUNNABLE, reason="exporting and TensorRT-RTX need a later Python")
def test_killed_between_the_two_files_of_a_pair(command, ready):
    """The new graph or plan has its name, and its manifest or sidecar has not; whoever reads it gives it one."""
    assert run(command, ready, kill_at=1, after=True, calls=("replace",)) == -signal.SIGKILL
    check(command, ready)
    finish(command, ready)


@pytest.mark.sweep
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("command", RUNNABLE)
def test_killed_at_every_call(command, after, ready):
    """The first writes, and the second replaces what is there."""
    for first in (True, False):
        kills = 0
        while run(command, ready, kills + 1, after, seed=kills) != 0:
            kills += 1
            check(command, ready)
        # Two files for a pair: an open, a chmod, a rename and the flushes of each.
        assert kills >= (2 if command == "eval" else 6), first
        finish(command, ready)


@pytest.mark.sweep
@pytest.mark.parametrize("command", RUNNABLE)
def test_killed_at_random_moments(command, ready):
    started = time.monotonic()
    finish(command, ready)
    whole_s = time.monotonic() - started
    chance = random.Random(20261126)
    for number in range(int(os.environ.get("EDGENEXT_KILLS", "15"))):
        run(command, ready, kill_after_s=chance.uniform(0.1, whole_s), seed=number)
        check(command, ready)
    finish(command, ready)
