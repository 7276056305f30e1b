"""Thirty kills at random moments of a setup, a copy and a build: the same command then succeeds, and nothing is half.

What dies is the command here, the server's end of the connection, or everything on the board, as by its plug.
"""
import hashlib
import json
import os
import random
import signal
import time

import board_double
import pytest
from ssh_boards import end_process, needs_boards
from sweeps import sweep

pytestmark = [pytest.mark.real, pytest.mark.sweep, needs_boards]
KILLS = 10


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def complete(board):
    """Check that every file that has its name is whole."""
    for path in (board.root / "wheels").glob("*/*.whl"):
        assert digest(path).startswith(path.parent.name), path
    for path in (board.root / "incoming").glob("*"):
        assert path.is_file()
    for path in (board.root / "jobs").glob("*/state.json"):
        assert json.loads(path.read_text())["state"] in ("running", "ended")
    for path in (board.root / "files").glob("*/*/*.plan.json"):
        plan = path.with_suffix("")
        assert json.loads(path.read_text())["plan"]["sha256"] == digest(plan)


def kill(chance, board, process):
    victim = chance.choice(["command", "connection", "board"])
    if victim == "command":
        process.send_signal(signal.SIGKILL)
    elif victim == "connection":
        board.cut()
        if chance.random() < 0.5:
            process.send_signal(signal.SIGKILL)
    else:
        board.cut()
        for number in board.jobs():
            end_process(number)
        process.send_signal(signal.SIGKILL)
    return victim


def storm(desk, board, words, longest_s, seed):
    """Start a command again and again, and kill something at random; return what died."""
    chance = random.Random(seed)
    died = []
    while len(died) < KILLS:
        process = desk.start(*words)
        try:
            time.sleep(chance.uniform(0.3, longest_s))
            if process.poll() is None:
                died.append(kill(chance, board, process))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        complete(board)
    return died


SEEDS = sweep([1], always=[])


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_during_a_setup(desk, seed):
    board = desk.add("nano", environment=desk.index)
    died = storm(desk, board, ("nano", "setup"), 8.0, seed)
    code, out, err = desk.run("nano", "setup")
    assert code == 0 and "inference is possible" in out, (died, err)
    complete(board)
    assert next((board.root / "venvs").iterdir()).name.startswith("py3.6-")


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_during_a_copy(desk, seed):
    board = desk.add("nano", environment=desk.index)
    data = os.urandom(60 << 20)
    (desk.folder / "big.bin").write_bytes(data)
    died = storm(desk, board, ("nano", "push", "big.bin"), 1.5, seed)
    code, _, err = desk.run("nano", "push", "big.bin")
    assert code == 0, (died, err)
    assert digest(next((board.root / "files").glob("*/big.bin"))) == hashlib.sha256(data).hexdigest()
    assert not list((board.root / "incoming").iterdir())


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_during_a_build(desk, seed):
    board = desk.add("nano", environment=dict(desk.index, **board_double.equip(desk.folder / "site")))
    assert desk.run("nano", "setup")[0] == 0
    (board.home / "build_s").write_text("4")
    words = ("nano", "build", "--variant", "icons", "--fp16")
    died = storm(desk, board, words, 6.0, seed)
    code, _, err = desk.run(*words)
    assert code == 0, (died, err)
    complete(board)
    assert len(list((board.root / "files").glob("*/*/icons.plan"))) == 1
