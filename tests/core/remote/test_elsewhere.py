"""Command lines that run on a board: files are carried, outputs come back, secrets stay off the command line."""
import json
import os
import sys

import click
import pytest
from paths import CAT, TINY
from sweeps import sweep

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.remote import board_work, elsewhere
from edgenext_deploy.remote.commands.choice import run_and_show
from edgenext_deploy.remote.elsewhere import carry_words, run_there, serve_port, with_port
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.link.ssh import Route
from edgenext_deploy.remote.session import Session


class Pushing(Session):
    """A session that copies nothing."""

    def push(self, bundle):
        return "/there/" + bundle.name


@pytest.fixture
def session(board):
    return Pushing(FleetBoard("b", Route("b")), board.watcher)


def test_files_go_there_and_outputs_come_back(session, tmp_path, monkeypatch):
    carried = carry_words(session, [TINY, CAT, "--json-file", str(tmp_path / "a.json"), "--save=out/", "--top", "3",
                                    "csi://0", "--device", "nano"])
    assert list(carried.words) == ["/there/tiny_classifier.onnx", "/there/cat.jpg", "--json-file", "out/a.json",
                                   "--save=out/out/", "--top", "3", "csi://0", "--device", "nano"]
    assert carried.outputs == (("a.json", str(tmp_path / "a.json")), ("out", "out/"))
    with pytest.raises(UsageError, match="same name"):
        carry_words(session, ["--json-file", "a/x", "--html", "b/x"])


def test_a_camera_is_the_boards_where_this_machine_has_one_too(session, tmp_path):
    device = tmp_path / "video0"
    device.symlink_to(os.devnull)
    assert carry_words(session, [TINY, str(device)]).words == ("/there/tiny_classifier.onnx", str(device))


def test_an_output_that_cannot_be_written_is_told_before_the_work(board, session, tmp_path):
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "x")
    with pytest.raises(UsageError, match="file is not a folder"):
        carry_words(session, [TINY, CAT, "--save", path])
    for work in (lambda: board_work.build_there(session, TINY, (), path),
                 lambda: board_work.bench_there(session, board_work.Wanted(TINY), (), (), path),
                 lambda: run_and_show([session.board], lambda session: {}, True, False, path)):
        with pytest.raises(UsageError, match="file is not a folder"):
            work()
    assert board.told == [] and not (board.home / "called").exists()


def test_the_token_of_the_variable_goes_along(session, monkeypatch):
    monkeypatch.setenv("EDGENEXT_SERVE_TOKEN", "from-the-shell")
    assert carry_words(session, ["x"]).words == ("x",)
    assert carry_words(session, ["x", "--serve=1"]).words == ("--serve-token", "from-the-shell", "x", "--serve=1")
    words = ("x", "--serve", "1", "--serve-token", "s3cret-token")
    assert carry_words(session, words).words == words


def test_every_option_says_whether_its_value_is_a_file():
    """A folder with a runtime's name must not be copied, and what is written has to come back."""
    from edgenext_deploy.benchmarks.commands.latency import latency_command
    from edgenext_deploy.run.cli import command

    for each in (latency_command, command):
        given = {option for option in each.params if isinstance(option, click.Option) and not option.is_flag}
        unknown = {name for option in given for name in option.opts if name.startswith("--")
                   } - set(elsewhere._OUTPUTS) - set(elsewhere._NAMES)
        assert unknown <= {"--engine", "--labels", "--font", "--reference"}, unknown


def test_the_port_of_a_page():
    assert serve_port(["a", "--serve", "8080"]) == serve_port(["--serve=8080"]) == 8080 and serve_port(["a"]) is None
    assert with_port(["a", "--serve", "8080", "b"], 9) == ["a", "--serve", "9", "b"]
    assert with_port(["--serve=8080"], 9) == ["--serve=9"]
    for value in ("0.0.0.0:8080", "0", "99999", "", "8080 -R x"):
        with pytest.raises(UsageError, match="a port expected"):
            serve_port(["--serve", value])


# What stands for one of our commands there: it reads its words as they do, and looks for them in every process.
COMMAND = """#!{python} -IS
import glob, os, sys
words = sys.stdin.buffer.read().split(b"\\0")[:-1]
seen = 0
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(path, "rb") as stream:
            seen += b"s3cret" in stream.read()
    except OSError:
        pass
print(sys.argv[1:], seen, [word.decode() for word in words if b"s3cret" not in word])
os.makedirs("out/pictures")
open("out/pictures/a.jpg", "w").write("1")
sys.exit(3)
"""


def test_a_command_there(board, monkeypatch, tmp_path):
    """Its files come back; its words are in no process list, no environment and no file, on either side."""
    program = board.home / "program"
    program.write_text(COMMAND.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr(Session, "command", lambda self, name: str(program))
    monkeypatch.chdir(tmp_path)
    lines = []
    code = run_there(board.session, "x", ["rtsp://me:s3cret@camera/", "--serve", "1", "--serve-token", "s3cret-token",
                                          "--save", "pictures"], lines.append)
    assert code == 3 and (tmp_path / "pictures" / "a.jpg").read_text() == "1"
    assert lines == ["['@-'] 0 ['--serve', '1', '--serve-token', '--save', 'out/pictures']"]
    kept = [path for path in board.root.rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"s3cret" in path.read_bytes()]
    (job,) = board.root.glob("jobs/*/job.json")
    assert set(json.loads(job.read_text())) == {"id", "title", "who"}


def test_a_board_writes_only_what_was_asked_for(session, tmp_path, monkeypatch):
    """``--save .`` in one's home: a board could send any file."""
    sent = ["here/a.jpg", "here/b/c.png", "here/.ssh/a.png", "here/.profile", "here/x.py", "here/../d.jpg", "/e.jpg",
            "here//f.jpg", "here/g\0.jpg", "other.jpg"]
    monkeypatch.setattr(session, "fetch", lambda path, most: b"x")
    monkeypatch.setattr(session, "connect", lambda: type("", (), {"ask": lambda self, do, name: {"made": sent}})())
    elsewhere._fetch(session, Job("j", "j", []), [("here", str(tmp_path / "in"))])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and "home" not in
                  path.parts) == ["in/a.jpg", "in/b/c.png"]


@pytest.mark.parametrize("data, words", sweep([
    (b"", "is empty"), (b"{}", "report"), (b"[" * 100000, "report"), (b'{"schema": 1, "records": []}', "report"),
    (b"\x1b]0;x\x07", "report")], always=[(b'{"schema": 1, "records": []}', "report"), (b"\x1b]0;x\x07", "report")]))
def test_a_report_that_is_none_is_refused(data, words):
    pytest.importorskip("numpy")
    with pytest.raises(BadInputError, match=words) as stopped:
        board_work._checked_median(data, "board", "x.onnx")
    assert "\x1b" not in str(stopped.value) and stopped.value.message.startswith("board: its report")
