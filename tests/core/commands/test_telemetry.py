"""No command talks to the network, and none leaves files where it was not asked to: strace sees what libraries do."""
import os
import re
import shutil
import subprocess
import sys

import pytest
from every_command import COMMANDS, run_command_line
from paths import TINY
from sweeps import sweep

from edgenext_deploy import telemetry

CALLS = "open,openat,creat,mkdir,mkdirat,socket,connect,sendto,sendmsg"
# Of Linux, where nothing is kept.
NOT_FILES = ("/dev/", "/proc/", "/sys/")


def why_no_strace():
    """Return why system calls cannot be watched here; None if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (Debian: apt-get install strace)"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return "strace may not trace here: " + done.stderr.decode("utf-8", "replace").strip() if done.returncode else None


NO_STRACE = why_no_strace()


def strace(log):
    """Return the words before a command line that note its system calls, and those of its children, in a file."""
    return ["strace", "-f", "-qq", "-e", "trace=" + CALLS, "-o", str(log)]


def written(trace, folder):
    """Return the absolute names in a trace that were opened for writing, without those below a folder."""
    names = re.findall(r'(?:open\w*|creat|mkdir\w*)\((?:AT_FDCWD, )?"([^"]+)"(?=.*(?:O_WRONLY|O_RDWR|O_CREAT|mkdir))',
                       trace)
    return sorted({name for name in names if name.startswith("/") and not name.startswith((folder, *NOT_FILES))})


def networked(trace):
    """Return the lines of a trace that reach beyond this machine."""
    return [line for line in trace.splitlines() if re.search(r"AF_INET|AF_PACKET", line)]


@pytest.fixture
def places(tmp_path):
    """Return environment variables that lead to empty folders."""
    found = {"HOME": "home", "XDG_CACHE_HOME": "xdg", "TMPDIR": "tmp"}
    for name in found.values():
        (tmp_path / name).mkdir()
    return {variable: str(tmp_path / name) for variable, name in found.items()}


@pytest.mark.skipif(NO_STRACE is not None, reason=str(NO_STRACE))
@pytest.mark.parametrize("command", sweep(sorted(COMMANDS), always={"run", "test", "bench", "models"}))
def test_no_command_uses_the_network_or_leaves_files(command, here, tmp_path, places, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    log = tmp_path / "trace"
    _, errors = run_command_line(command, here, before=strace(log), PYTHONDONTWRITEBYTECODE="1", **places)
    assert "Traceback" not in errors
    trace = log.read_text(errors="replace")
    assert "O_RDONLY" in trace
    assert (networked(trace), written(trace, str(tmp_path))) == ([], [])
    assert {name: os.listdir(folder) for name, folder in places.items() if os.listdir(folder)} == {}


@pytest.mark.skipif(NO_STRACE is not None, reason=str(NO_STRACE))
def test_the_watch_sees_a_socket_and_a_file(tmp_path):
    log, file = tmp_path / "trace", tmp_path / "file"
    code = "import socket; socket.socket(); open({!r}, 'w')".format(str(file))
    subprocess.run([*strace(log), sys.executable, "-c", code], check=True)
    trace = log.read_text(errors="replace")
    assert networked(trace) and written(trace, "/nowhere") == [str(file)]


@pytest.mark.parametrize("set_by_user, expected", [(None, "1"), ("0", "0")])
def test_a_session_turns_telemetry_off_and_keeps_what_the_user_set(set_by_user, expected):
    pytest.importorskip("onnxruntime")
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if set_by_user is not None:
        environ["ORT_DISABLE_TELEMETRY"] = set_by_user
    code = ("import os, sys\n"
            "class Watch:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'onnxruntime': print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
            "sys.meta_path.insert(0, Watch())\n"
            "from edgenext_deploy import open_session\n"
            "open_session(sys.argv[1])")
    done = subprocess.run([sys.executable, "-c", code, TINY], env=environ, stdout=subprocess.PIPE, check=True,
                          universal_newlines=True)
    assert done.stdout == expected + "\n"


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "")
    telemetry.disable_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == ""
