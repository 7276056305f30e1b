"""The connection: what ssh is asked for, what its failures mean, and a far side that lies."""
import hashlib
import json
import os
import time

import pytest

from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.remote.link import connection as connections
from edgenext_deploy.remote.link.connection import Connection
from edgenext_deploy.remote.link.ssh import LostConnectionError, Route, require_route

HELLO = {"hello": "NONCE", "python": [3, 6, 9], "executable": "/usr/bin/python3", "machine": "aarch64",
         "system": "Linux", "bits": 64, "folder": "/home/u/x", "time": time.time(), "user": "u", "free": 10,
         "ready": [], "packages": [], "model": "", "cuda": False}


def hello(**changes):
    return json.dumps(dict(HELLO, **changes)) + "\n"


def test_the_far_side_answers(board):
    board.says("Welcome to Ubuntu\n\x1b[31mred\n", "before")  # what ~/.bashrc prints
    with Connection(board.route) as connection:
        assert connection.hello["folder"] == str(board.root)
        assert connection.ask("jobs")["jobs"] == []
        assert connection.sent_bytes > 10000 and connection.received_bytes > 100
    assert not board.root.exists()  # looking leaves nothing
    options, destination = (board.home / "called").read_text().split()[:3], "user@board"
    assert options == ["-T", "-o", "BatchMode=yes"] and destination in (board.home / "called").read_text()


def test_nothing_of_the_users_ssh_is_changed(board):
    with Connection(board.route, batch=False):
        pass
    assert (board.home / "called").read_text().startswith("-T user@board ")


@pytest.mark.parametrize("destination", [
    "-oProxyCommand=touch x", "a b", "user@", "$(id)", "host;id", "h\nost", "@host", "", "x" * 300, "user@-host"],
    ids=range(10))
def test_words_that_ssh_would_take_for_something_else_are_refused(destination):
    with pytest.raises(UsageError):
        require_route(Route(destination))


@pytest.mark.parametrize("folder", ["", "a\nb", 'a"b', "$HOME/a", "a`b", "a\\b"])
def test_a_folder_in_which_pips_scripts_would_not_run_is_refused(folder):
    with pytest.raises(UsageError, match="not a folder"):
        require_route(Route("nano", folder=folder))
    require_route(Route("nano", folder="~/my board's ö"))


def test_words_for_ssh_that_are_none(monkeypatch):
    monkeypatch.setenv("EDGENEXT_SSH", "ssh -F 'a file")
    with pytest.raises(UsageError, match="EDGENEXT_SSH is no command line: ssh -F 'a file"):
        Connection(Route("board"))


@pytest.mark.parametrize("destination", ["nano", "jetson@192.168.1.20", "u.x@nano.local", "u@fe80::1%eth0", "[::1]"])
def test_destinations(destination):
    require_route(Route(destination))


@pytest.mark.parametrize("said, words, fix", [
    ("ssh: Could not resolve hostname nanno: Name or service not known", "the host is not known", "~/.ssh/config"),
    ("user@board: Permission denied (publickey).", "the key was refused", "ssh-copy-id user@board"),
    ("Host key verification failed.", "the host's key is not known", "ssh user@board"),
    ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "not the one in known_hosts", "ssh-keygen -R"),
    ("ssh: connect to host x port 22: Connection refused", "no SSH server answers", "sshd"),
    ("\x1b]0;title\x07strange", "no answer over ssh (\\x1b]0;title\\x07strange)", "ssh user@board")])
def test_failures_of_ssh_are_told_in_words(board, said, words, fix):
    board.says(said + "\n", "ssh_says")
    with pytest.raises(LostConnectionError) as stopped:
        Connection(board.route)
    assert words in stopped.value.message and fix in stopped.value.fix and stopped.value.exit_code == 6


def test_a_python_that_may_not_be_started_is_no_key_that_was_refused(board):
    (board.home / "python").touch()
    with pytest.raises(MissingRuntimeError, match=r"cannot start .*/python .*ermission denied"):
        Connection(board.route._replace(python=str(board.home / "python")))


def test_a_board_without_that_python_is_told(board):
    with pytest.raises(MissingRuntimeError, match="has no python3"):
        Connection(board.route._replace(python="python3.99"))


@pytest.mark.parametrize("text, kind, words", [
    (hello(python=[3, 5, 2]), IncompatibleError, "3.6 or newer"),
    (hello(system="Darwin"), IncompatibleError, "another kind"),
    (hello(machine="armv7l"), IncompatibleError, "another kind"),
    (hello(python=["3", "6"]), BadInputError, "python is"),
    (hello(ready=[["x"]]), BadInputError, "ready is"),
    (hello(time="now"), BadInputError, "time is"),
    (hello(time=10 ** 400), BadInputError, "something else"),
    ('{"hello": "NONCE\n', BadInputError, "something else"),
    ('["NONCE"]\n' * 8000, IncompatibleError, "prints without end"),
    ("x" * (2 << 20), BadInputError, "without end"),
    ("noise\n" * 20000, IncompatibleError, "prints without end"),
    ('{"hello": "NONCE", "x": ' + "[" * 100000 + "\n", BadInputError, "something else")], ids=[
        "old", "mac", "32 bit", "words", "nested", "no time", "a huge time", "no JSON", "a list", "a long line",
        "noise", "deep"])
def test_a_first_answer_that_is_none(board, text, kind, words):
    board.says(text)
    with pytest.raises(kind, match=words):
        Connection(board.route)


@pytest.mark.parametrize("answer, words", [
    ('{"error": "usage", "text": "\\u001b[2Jgone"}', "\\x1b"), ('{"size": 99999999999}', "something else"),
    ('{"size": -1}', "something else"), ('{"size": "4"}', "something else"), ("nonsense", "something else")])
def test_a_file_that_is_none(board, answer, words):
    board.says(hello() + answer + "\n")
    with Connection(board.route) as connection, pytest.raises(EdgeNextError) as stopped:
        connection.get("jobs/x/out/report.json", 1000)
    assert words in stopped.value.message and "\x1b" not in str(stopped.value)


def test_a_file_with_another_digest(board):
    board.says(hello() + '{"size": 3, "sha256": "%s"}\nabd' % hashlib.sha256(b"abc").hexdigest())
    with Connection(board.route) as connection, pytest.raises(BadInputError, match="damaged"):
        connection.get("x", 1000)


def test_an_end_in_the_middle(board):
    board.says(hello() + '{"size": 30, "sha256": ""}\nabc')
    board.says("", "ends")
    with Connection(board.route) as connection:
        with pytest.raises(LostConnectionError, match="has ended"):
            connection.get("x", 1000)
        assert connection.ended


def test_a_far_side_that_falls_silent(board, monkeypatch):
    monkeypatch.setattr(connections, "_SILENCE_S", 0.2)
    with Connection(board.route) as connection:
        os.write(connection._in.fileno(), b'{"do": "put", "path": "files/a/b", "size": 9, "sha256": "00"}\n')
        connection._event()
        with pytest.raises(LostConnectionError, match="nothing was heard"):
            connection._event()


def test_a_start_up_file_that_ends_no_line(board):
    board.says("Welcome. ", "before")
    with Connection(board.route) as connection:
        assert connection.ask("jobs")["jobs"] == []


def test_a_clock_that_is_wrong_is_known(board):
    board.says(hello(time=time.time() - 7200))
    with Connection(board.route) as connection:
        assert -7300 < connection.clock_skew_s < -7100
