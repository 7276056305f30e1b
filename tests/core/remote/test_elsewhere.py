"""Command lines that run on a board: files are carried, outputs come back, secrets stay off the command line."""
import json

import pytest
from paths import CAT, TINY

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.remote import board_work
from edgenext_deploy.remote.elsewhere import carry_words, run_there, serve_port, with_port
from edgenext_deploy.remote.fleet import FleetBoard
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
    monkeypatch.delenv("EDGENEXT_SERVE_TOKEN", raising=False)
    carried = carry_words(session, [TINY, CAT, "--json-file", str(tmp_path / "a.json"), "--save=out/", "--top", "3",
                                    "csi://0", "--device", "nano"])
    assert list(carried.words) == ["/there/tiny_classifier.onnx", "/there/cat.jpg", "--json-file", "out/a.json",
                                   "--save=out/out/", "--top", "3", "csi://0", "--device", "nano"]
    assert carried.outputs == (("a.json", str(tmp_path / "a.json")), ("out", "out/")) and carried.environ == {}
    with pytest.raises(UsageError, match="same name"):
        carry_words(session, ["--json-file", "a/x", "--html", "b/x"])


@pytest.mark.parametrize("words", [["--serve-token", "s3cret-token"], ["--serve-token=s3cret-token"]])
def test_a_token_is_no_word_there(session, words, monkeypatch):
    monkeypatch.delenv("EDGENEXT_SERVE_TOKEN", raising=False)
    carried = carry_words(session, ["x", *words, "y"])
    assert carried.words == ("x", "y") and carried.environ == {"EDGENEXT_SERVE_TOKEN": "s3cret-token"}
    monkeypatch.setenv("EDGENEXT_SERVE_TOKEN", "from-the-shell")
    assert carry_words(session, ["x"]).environ == {"EDGENEXT_SERVE_TOKEN": "from-the-shell"}


def test_the_port_of_a_page():
    assert serve_port(["a", "--serve", "8080"]) == serve_port(["--serve=8080"]) == 8080 and serve_port(["a"]) is None
    assert with_port(["a", "--serve", "8080", "b"], 9) == ["a", "--serve", "9", "b"]
    assert with_port(["--serve=8080"], 9) == ["--serve=9"]
    for value in ("0.0.0.0:8080", "0", "99999", "", "8080 -R x"):
        with pytest.raises(UsageError, match="a port expected"):
            serve_port(["--serve", value])


def test_a_command_there(board, monkeypatch, tmp_path):
    """Its lines come as they are, its files too, and neither words nor variables of it are kept."""
    monkeypatch.setattr(Session, "command", lambda self, name: "/bin/sh")
    monkeypatch.setenv("EDGENEXT_SERVE_TOKEN", "s3cret-token")
    script = "echo $EDGENEXT_SERVE_TOKEN | wc -c; mkdir -p out/pictures; echo 1 > out/pictures/a; exit 3"
    monkeypatch.chdir(tmp_path)
    lines = []
    code = run_there(board.session, "x", ["-c", script, "--save", "pictures"], lines.append)
    assert code == 3 and lines == ["13"] and (tmp_path / "pictures" / "a").read_text() == "1\n"
    kept = [path for path in board.root.rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"s3cret" in path.read_bytes()]
    (job,) = board.root.glob("jobs/*/job.json")
    assert set(json.loads(job.read_text())) == {"id", "title", "who"}


@pytest.mark.parametrize("data, words", [
    (b"", "is empty"), (b"{}", "report"), (b"[" * 100000, "report"), (b'{"schema": 1, "records": []}', "report"),
    (b"\x1b]0;x\x07", "report")], ids=["empty", "object", "deep", "no rows", "escape"])
def test_a_report_that_is_none_is_refused(data, words):
    pytest.importorskip("numpy")
    with pytest.raises(BadInputError, match=words) as stopped:
        board_work._checked_median(data, "board", "x.onnx")
    assert "\x1b" not in str(stopped.value) and stopped.value.message.startswith("board: its report")
