"""A download is killed at any moment: no wrong file has a name, and the next run goes on or starts again."""
import contextlib
import hashlib
import http.server
import os
import random
import re
import signal
import subprocess
import sys
import time

import killer
import pytest
from file_server import serving, wait_until
from sweeps import sweep

HEADER = b'{"a":{"dtype":"U8","shape":[20480000],"data_offsets":[0,20480000]}}'
CONTENT = len(HEADER).to_bytes(8, "little") + HEADER + random.Random(15).randbytes(20480000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NOTED = 8 << 20
CODE = """
import sys
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.variants.registry import Checkpoint, get_variant
checkpoint = Checkpoint("weights.pth", sys.argv[1], "official", 71.23, 0.875, "a test")
fetch(get_variant("xxs"), checkpoint, sys.argv[2], False, allow_localhost=True)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes="):-1])
        assert not start or self.headers["If-Range"] == '"tag"'
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        with contextlib.suppress(OSError):
            for at in range(start, len(CONTENT), 1 << 20):
                self.wfile.write(CONTENT[at:at + (1 << 20)])
                time.sleep(self.server.pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch, Handler, starts=[], pause_s=0) as running:
        yield running


def start(server, folder, number=0, after=False):
    """Start a download that dies at a call; return the process."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, f"http://127.0.0.1:{server.server_address[1]}/weights.pth", str(folder)],
        stderr=subprocess.PIPE, env=killer.environment(folder, folder.parent / "killer", number, after))


def end(process):
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode


def check(folder):
    """What has a name is whole."""
    if (folder / "weights.pth").exists():
        assert (folder / "weights.pth").read_bytes() == CONTENT
    if (folder / "weights.pth.sha256").exists():
        assert (folder / "weights.pth.sha256").read_text() == f"{DIGEST}  weights.pth\n"


def finish(server, folder):
    """The next run works, and leaves nothing but what it made."""
    assert end(start(server, folder)) == 0
    check(folder)
    assert sorted(os.listdir(folder)) == ["weights.pth", "weights.pth.sha256"]


# Of the 28 calls: while it comes, and around each of the two names.
@pytest.mark.parametrize("number", sweep(range(1, 40), always=[4, 24]))
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_call(server, tmp_path, number, after):
    folder = tmp_path / "cache"
    if end(start(server, folder, number, after)) == 0:
        assert number > 20
    check(folder)
    finish(server, folder)


def test_goes_on_behind_what_is_on_the_disk(server, tmp_path):
    folder = tmp_path / "cache"
    server.pause_s = 0.1
    process = start(server, folder)
    wait_until((folder / ".weights.pth.part.json").exists)
    process.kill()
    end(process)
    with open(folder / ".weights.pth.part", "r+b") as stream:  # as a power cut may leave what was not flushed
        stream.seek(NOTED)
        stream.write(bytes(1000))
    server.pause_s = 0
    finish(server, folder)
    assert server.starts == [0, NOTED]


@pytest.mark.sweep
def test_killed_at_random_moments(server, tmp_path):
    folder = tmp_path / "cache"
    chance = random.Random(20261126)
    for number in range(int(os.environ.get("EDGENEXT_KILLS", "15"))):
        server.pause_s = 0.02
        process = start(server, folder)
        time.sleep(chance.uniform(0.1, 1.5))
        process.kill()
        end(process)
        check(folder)
        if number % 5 == 4:
            server.pause_s = 0
            finish(server, folder)
            (folder / "weights.pth").unlink()
    server.pause_s = 0
    finish(server, folder)


def own_files(folder):
    return [name for name in os.listdir(folder) if re.fullmatch(r"\.weights\.pth\.[a-z0-9_]{8}", name)]


def test_one_killed_beside_another_leaves_nothing(server, tmp_path):
    """Each writes to a file of its own; only the first one's is gone on with."""
    folder = tmp_path / "cache"
    server.pause_s = 0.1
    first = start(server, folder)
    wait_until((folder / ".weights.pth.part").exists)
    second = start(server, folder)
    wait_until(lambda: own_files(folder))
    for process in (first, second):
        process.kill()
        end(process)
    assert len(own_files(folder)) == 1
    server.pause_s = 0
    finish(server, folder)
