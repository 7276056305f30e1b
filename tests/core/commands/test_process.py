"""A command in a process that lacks something: one line and an exit code of ours, whatever the system refuses."""
import errno
import os
import re
import resource
import signal
import subprocess
import sys

import every_command
import pytest
from paths import ROOT
from sweeps import sweep

from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.commands.resources import out_of_resources
from edgenext_deploy.errors import MissingRuntimeError, UsageError

CODES = {0, 2, 3, 4, 5, 6}
# One command of each package; the others differ in what they do, not in how they end.
SOME = {"run", "build"}
CLOSED = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")


def end(command, here, preexec=None, shell=None, **extra):
    """Return exit code and standard error of a command that was started in an odd way."""
    words = [] if shell is None else ["sh", "-c", '"$@" ' + shell, "sh"]
    return every_command.run_command_line(command, here, before=words, preexec=preexec, **extra)


@pytest.mark.parametrize("command, closed", sweep(
    [(command, closed) for command in sorted(every_command.COMMANDS) for closed in CLOSED],
    always=[("run", CLOSED[0]), ("run", CLOSED[1]), ("build", CLOSED[2]), ("build", CLOSED[3])]))
def test_closed_standard_streams(command, closed, here):
    plain = end(command, here)
    code, errors = end(command, here, shell=closed)
    assert "Traceback" not in errors and code == plain[0], errors


LIMITS = {
    "FSIZE": (resource.RLIMIT_FSIZE, 2000), "NOFILE": (resource.RLIMIT_NOFILE, 8),
    "NOFILE 24": (resource.RLIMIT_NOFILE, 24),
    "AS 100": (resource.RLIMIT_AS, 100 << 20), "AS 150": (resource.RLIMIT_AS, 150 << 20),
    "AS 300": (resource.RLIMIT_AS, 300 << 20), "AS 600": (resource.RLIMIT_AS, 600 << 20),
}


@pytest.mark.parametrize("command, limit", sweep(
    [(command, limit) for command in sorted(every_command.COMMANDS) for limit in sorted(LIMITS)],
    always=[("export", "AS 600"), *(("run", limit) for limit in sorted(LIMITS)), ("build", "NOFILE 24")]))
def test_small_limits(command, limit, here):
    kind, value = LIMITS[limit]
    code, errors = end(command, here, preexec=lambda: resource.setrlimit(kind, (value, value)))
    assert code in CODES and "this is a bug" not in errors and "Traceback" not in errors, (code, errors)


# The limit does not hold for root. The other user still reads root's files.
DROP = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                "--inh-caps=+dac_override", "--ambient-caps=+dac_override",
                                "--bounding-set=-all,+dac_override"]


def why_no_other_user():
    """Return why no command can be run as a user with a limit of processes; None if it can."""
    try:
        done = subprocess.run([*DROP, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        return str(error)
    return done.stderr.decode("utf-8", "replace").strip() if done.returncode else None


NO_USER = why_no_other_user()


@pytest.mark.skipif(NO_USER is not None, reason=str(NO_USER))
@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("command", sweep(sorted(every_command.COMMANDS), always=SOME | {"export"}))
def test_few_processes(command, count, here):
    """One line before a library that cannot start its threads ends the process, or finds fault with the graph."""
    code, errors = every_command.run_command_line(
        command, here, before=DROP, preexec=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (count, count)))
    assert code == 6 and re.fullmatch(
        r"error: a command needs \d+ processes and threads, and the system gives \d+\n  fix: .*\n", errors), errors


@pytest.mark.parametrize("command, folder", sweep(
    [(command, folder) for command in sorted(every_command.COMMANDS) for folder in ("/dev/null", "/nonexistent")],
    always=[("run", "/dev/null"), ("build", "/nonexistent")]))
def test_a_home_that_cannot_be_written(command, folder, here):
    plain = end(command, here)
    code, errors = end(command, here, HOME=folder, XDG_CACHE_HOME="", EDGENEXT_CACHE="")
    assert "Traceback" not in errors and code == plain[0], errors


@pytest.mark.parametrize("error, kind, words", [
    (OSError(errno.EFBIG, "File too large"), UsageError, "File too large"),
    (OSError(errno.EMFILE, "Too many open files"), MissingRuntimeError, "open files"),
    (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), MissingRuntimeError, "processes"),
    (MemoryError(), MissingRuntimeError, "memory"),
    (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), UsageError, "temporary files"),
    (RuntimeError("can't start new thread"), MissingRuntimeError, "threads"),
    (ImportError("libx.so: failed to map segment", name="onnx"), MissingRuntimeError, "failed to map"),
    (ImportError("Importing the numpy C-extensions failed."), MissingRuntimeError, "C-extensions"),
])
def test_what_ran_out_is_said(error, kind, words):
    found = out_of_resources(error)
    assert type(found) is kind and words in found.message and found.fix


@pytest.mark.parametrize("error", [
    OSError(errno.ENOENT, "x"), RuntimeError("x"), ImportError("no such name", name="edgenext_deploy.files"),
    ValueError()])
def test_a_bug_stays_one(error):
    assert out_of_resources(error) is None


def test_sigterm_cleans_up_as_ctrl_c_does(tmp_path):
    code = ("import sys, time, click\nfrom edgenext_deploy.commands.entry import run_command\n"
            "from edgenext_deploy.scratch import scratch_folder\n"
            "@click.command()\ndef command():\n"
            "    with scratch_folder() as folder:\n        print(folder, flush=True)\n"
            # Not one long sleep: a signal just before it would be looked at only after it.
            "        for _ in range(6000):\n            time.sleep(0.01)\n"
            "run_command(command, [])\n")
    for number, word in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   universal_newlines=True, env=dict(os.environ, PYTHONPATH=ROOT, TMPDIR=str(tmp_path)))
        assert os.path.exists(process.stdout.readline().strip())
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (128 + number, word + "\n")
        assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wrapped", [
    "raise ImportError('initialization failed') from error", "raise MissingRuntimeError('no library') from error",
    "raise RuntimeError('Error calling __set_name__')", "raise KeyboardInterrupt"])
def test_a_library_that_turns_a_signal_into_an_error_does_not_hide_it(number, wrapped, capsys):
    """As pybind11 and Python do where they are interrupted while they import."""
    space = {}
    exec("from edgenext_deploy.errors import MissingRuntimeError\nimport os, time, click\n"
         "@click.command()\ndef command():\n"
         "    try:\n        os.kill(os.getpid(), {})\n        time.sleep(5)\n"
         "    except KeyboardInterrupt as error:\n        {}\n".format(int(number), wrapped), space)
    with pytest.raises(SystemExit) as stop:
        run_command(space["command"], [])
    assert stop.value.code == 128 + number
    assert capsys.readouterr().err == ("terminated\n" if number == signal.SIGTERM else "interrupted\n")
