"""Jobs: they outlive the connection, one at a time, and a second look goes on where the first ended."""
import functools
import json
import os
import shutil
import threading
import time

import pytest

from edgenext_deploy.errors import MissingRuntimeError, UsageError, VerificationError
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link import jobs, sources
from edgenext_deploy.remote.link.connection import Connection
from edgenext_deploy.remote.link.jobs import Job, JobLeftError
from edgenext_deploy.remote.link.ssh import LostConnectionError
from edgenext_deploy.remote.session import Session

# Not for ever: a test run may be killed.
GO = "n=0; while [ ! -e $HOME/go ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done"


def shell(name, script, **options):
    return Job(name, "do " + name, [{"title": "first", "run": ["sh", "-c", script]}], **options)


def lines_of(board, stream):
    return [entry[1] for entry in board.told if entry[0] == stream]


def test_a_job_says_what_it_does(board):
    found = board.session.run(shell("j", "echo out; echo a '\033[31m' >&2; echo 'half' | tr -d '\\n'"))
    assert found["code"] == 0 and lines_of(board, "output") == ["out", "half"]
    assert lines_of(board, "log") == ["a \\x1b[31m"]
    assert [step.title for step in board.session.steps][-1] == "first"


def test_a_job_that_was_done_is_not_done_again(board):
    job = shell("j", "echo x >> $HOME/count; touch " + str(board.root / "made"), makes=("made",))
    board.session.run(job)
    board.session.run(job)
    assert (board.home / "count").read_text() == "x\n" and board.session.steps[-1].skipped
    (board.root / "made").unlink()
    board.session.run(job)
    assert (board.home / "count").read_text() == "x\nx\n"


def test_an_error_there_is_the_error_here(board):
    with pytest.raises(MissingRuntimeError, match="do j: no gpu") as stopped:
        board.session.run(shell("j", "echo 'error: no gpu' >&2; echo '  fix: buy one' >&2; exit 6"))
    assert stopped.value.fix == "buy one"
    with pytest.raises(VerificationError, match="exit code 137"):
        board.session.run(shell("k", "kill -9 $$"))
    with pytest.raises(MissingRuntimeError, match="cannot start"):
        board.session.run(Job("l", "l", [{"title": "x", "run": ["/no/such"]}]))


def wait_for(path):
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_outlives_the_connection_and_is_followed_again(board, monkeypatch):
    monkeypatch.setattr(jobs, "_FIRST_PAUSE_S", 0.05)
    job = shell("j", "echo one; touch $HOME/one; " + GO + "; echo two")
    cut = threading.Thread(target=cut_and_go, args=(board,))
    cut.start()
    assert board.session.run(job)["code"] == 0
    cut.join()
    assert lines_of(board, "output") == ["one", "two"] and "connected again" in board.told
    assert any("the job goes on there" in entry for entry in board.told if isinstance(entry, str))


def cut_and_go(board):
    wait_for(board.home / "one")
    board.session._connections[-1]._process.kill()
    time.sleep(0.2)
    (board.home / "go").touch()


def test_an_attached_job_ends_with_the_connection(board):
    job = shell("j", "trap 'echo got >> $HOME/end; exit 0' INT; touch $HOME/one; sleep 60 & wait",
                attached=True)
    threading.Thread(target=lambda: (wait_for(board.home / "one"),
                                     board.session._connections[-1]._process.kill())).start()
    with pytest.raises(LostConnectionError):
        board.session.run(job)
    wait_for(board.home / "end")


def test_a_full_disk_is_told_whatever_the_command_says(board):
    with pytest.raises(UsageError, match="the disk there is full") as stopped:
        board.session.run(shell("j", "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1"))
    assert "--folder" in stopped.value.fix
    with pytest.raises(UsageError, match="the disk there is full"):
        jobs.require_success({"code": 1, "free": 4096}, shell("j", ""), [])


def test_a_step_that_fails_leaves_nothing_half(board):
    make = "mkdir -p {0}/half {0}/other".format(board.root)
    with pytest.raises(VerificationError):
        board.session.run(Job("j", "j", [{"title": "x", "run": ["sh", "-c", make + "; exit 7"], "undo": ["half"]}]))
    assert not (board.root / "half").exists() and (board.root / "other").exists()


def test_a_job_whose_folder_is_gone_ends(board):
    """Nobody could follow it: somebody has removed the folder by hand."""
    job = shell("j", "trap 'touch $HOME/end; exit 0' INT; touch $HOME/one; " + GO + "")
    threading.Thread(target=lambda: (wait_for(board.home / "one"), shutil.rmtree(str(board.root)))).start()
    with pytest.raises(LostConnectionError, match="without a result"):
        board.session.run(job)
    wait_for(board.home / "end")


def test_a_workstation_that_is_gone_is_noticed(board, monkeypatch):
    """Its network is: the connection stays open, and nothing comes. A job that ends with the connection ends."""
    monkeypatch.setattr(sources, "_sources", functools.partial(impatient, sources._sources()))
    connection = board.session.connect()
    monkeypatch.setattr(connection, "tell", lambda do: None)
    job = shell("j", "trap 'touch $HOME/end; exit 0' INT; " + GO, attached=True)
    with pytest.raises(LostConnectionError):
        board.session.run(job)
    wait_for(board.home / "end")
    # One that answers goes on.
    job = shell("k", "sleep 0.6; echo done", attached=True)
    assert board.session.run(job)["code"] == 0


def impatient(text):
    assert "ASKED_S = 15.0" in text and "GONE_S = 60.0" in text
    return text.replace("ASKED_S = 15.0", "ASKED_S = 0.1").replace("GONE_S = 60.0", "GONE_S = 0.2")


def test_a_question_ends_with_the_connection(board):
    script = "echo $$ > $HOME/pid; exec sleep 60"
    with Connection(board.route) as connection:
        connection._write(json.dumps({"do": "ask", "argv": ["sh", "-c", script], "timeout_s": 60}).encode() + b"\n")
        wait_for(board.home / "pid")
    end = time.monotonic() + 10
    while os.path.exists("/proc/" + (board.home / "pid").read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_command_reads_may_be_long(board):
    text = "x" * 300000
    board.session.run(Job("j", "j", [{"title": "x", "run": ["sh", "-c", "wc -c"], "input": text}]))
    assert lines_of(board, "output") == ["300000"]


def test_a_line_of_output_is_whole_and_one_of_the_log_is_not(board):
    """The answers of a detector, as JSON on one line."""
    text = "head -c 200000 /dev/zero | tr '\\0' x"
    got = []
    board.session.run(shell("j", "{0}; echo; {0} >&2; echo end".format(text)), got.append)
    assert got == ["x" * 200000, "end"]
    assert all(len(line) <= 2001 for line in lines_of(board, "log"))


def test_a_job_is_followed_by_another(board):
    job = shell("j", "echo one; touch $HOME/one; " + GO + "; echo two; exit 3")
    other = Session(FleetBoard("board", board.route), board.watcher)
    thread = threading.Thread(target=lambda: board.session.run(job, check=False))
    thread.start()
    wait_for(board.home / "one")
    lines = []
    found = other.follow("j", lambda line: (lines.append(line), (board.home / "go").touch()))
    thread.join()
    assert lines == ["one", "two"] and found["code"] == 3
    # One that has ended is not started again.
    assert other.follow("j", lines.append)["code"] == 3 and lines == ["one", "two"] * 2
    other.close()


def test_who_uses_the_board_is_told(board):
    other = Session(FleetBoard("board", board.route), board.watcher, wait=False)
    thread = threading.Thread(target=board.session.run, args=(
        shell("long", "touch $HOME/one; " + GO + ""),))
    thread.start()
    wait_for(board.home / "one")
    with pytest.raises(MissingRuntimeError, match=r"@.* is busy with: do long"):
        other.run(shell("second", "true"))
    with pytest.raises(MissingRuntimeError, match="busy with"):
        other.connect().ask("remove", who={"who": "me"})
    waiting = Session(FleetBoard("board", board.route), board.watcher)
    second = threading.Thread(target=waiting.run, args=(shell("second", "touch $HOME/second"),))
    second.start()
    while not any("waiting: " in entry for entry in board.told if isinstance(entry, str)):
        time.sleep(0.02)
    assert not (board.home / "second").exists()
    (board.home / "go").touch()
    thread.join()
    second.join()
    assert (board.home / "second").exists()
    other.connect().ask("remove", who={"who": "me"})
    assert not board.root.exists()
    other.close()
    waiting.close()


def test_a_job_that_cannot_begin_leaves_the_board_free(board):
    """Its disk was full, for example."""
    board.session._wait = False
    board.session.connect()
    board.root.mkdir(parents=True)
    (board.root / "jobs").touch()
    with pytest.raises(UsageError, match="cannot write"):
        board.session.run(shell("j", "true"))
    (board.root / "jobs").unlink()
    assert board.session.run(shell("j", "true"))["code"] == 0


def test_a_killed_job_is_seen_and_done_again(board):
    """The board was switched off, or its memory ran out."""
    with Connection(board.route) as connection:
        job = shell("j", "true")
        (board.root / "jobs" / "j").mkdir(parents=True)
        for name in ("alive", "output", "log"):
            (board.root / "jobs" / "j" / name).touch()
        (board.root / "jobs" / "j" / "job.json").write_text(json.dumps({"id": "j", "title": "t", "who": "w"}))
        (board.root / "jobs" / "j" / "state.json").write_text('{"state": "running", "started": 0, "steps": []}')
        assert connection.ask("state", name="j")["state"] == "died"
    assert board.session.run(job)["code"] == 0


def test_ctrl_c_leaves_a_job_or_ends_it(board):
    def interrupt(stream, line):
        raise KeyboardInterrupt

    job = shell("j", "echo one; trap 'touch $HOME/ended; exit 1' INT; " + GO + "")
    board.session._told = board.watcher._replace(line=interrupt)
    with pytest.raises(JobLeftError, match="left running"):
        board.session.run(job)
    assert board.session.connect().ask("state", name="j")["state"] == "running"
    ending = Session(FleetBoard("board", board.route), board.watcher._replace(line=interrupt,
                                                                             leave=lambda title: False))
    with pytest.raises(KeyboardInterrupt):
        ending.run(job)
    wait_for(board.home / "ended")
    assert ending.connect().ask("stop", name="one that has not begun") == {"done": True}
    ending.close()


@pytest.mark.parametrize("state", [
    [], "x", {"steps": 3}, {"steps": [3]}, {"steps": [{"title": "\x1b[2J", "seconds": "1"}]},
    {"steps": [{"seconds": None}]}])
def test_steps_that_are_none(board, state):
    """They come from the board."""
    board.says(json.dumps({"hello": "NONCE", "python": [3, 6, 9], "executable": "p", "machine": "aarch64",
                           "system": "Linux", "bits": 64, "folder": "/x", "time": time.time(), "user": "u", "free": 1,
                           "ready": [], "packages": [], "model": "", "cuda": False})
               + '\n{"done": true, "state": "running"}\n'
               + json.dumps({"state": state}) + '\n{"stream": "log", "text": 7}\n{"stream": "none"}\n'
               + '{"done": true, "state": "ended", "code": "0"}\n')
    told = []
    board.session._told = board.watcher._replace(now=told.append)
    with pytest.raises(VerificationError, match="exit code 0"):
        board.session.run(shell("j", "true"))
    assert not [text for text in told if "\x1b" in text]
