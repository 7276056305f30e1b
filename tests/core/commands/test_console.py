"""Ctrl-C and SIGTERM before a command's own code runs, and after it: one word and the exit code, no traceback."""
import os
import signal
import subprocess
import sys

import pytest
from command_lines import scripts
from paths import ROOT

from edgenext_deploy.child_process import python_command

# Stands in for a signal that comes from outside at the worst moment.
STRIKE = """
import atexit, os, signal, sys, time
def strike():
    os.kill(os.getpid(), {number})
    for _ in range(1000):
        time.sleep(0.01)
class Importing:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            strike()
        return None
sys.argv[:] = [{path!r}, "--version"]
if {when!r} == "at exit":
    atexit.register(strike)
if {when!r} == "while the command is imported":
    sys.meta_path.insert(0, Importing())
from {module} import {function}
if {when!r} == "before its function is called":
    strike()
{function}()
"""


def end(name, number, when, handler=signal.SIG_DFL, seconds=10):
    module, function = scripts()[name].split(":")
    code = STRIKE.format(number=int(number), when=when, module=module, function=function,
                         path=os.path.join("bin", name)).replace("range(1000)", "range({})".format(seconds * 100))
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                             universal_newlines=True, env=dict(os.environ, PYTHONPATH=ROOT),
                             # A shell that starts the tests in the background ignores SIGINT for them.
                             preexec_fn=lambda: signal.signal(number, handler))
    return process.returncode, process.stderr


@pytest.mark.parametrize("number, word", [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
@pytest.mark.parametrize("name", sorted(scripts()))
def test_a_signal_while_the_command_is_imported(name, number, word):
    assert end(name, number, "while the command is imported") == (128 + number, word + "\n")


@pytest.mark.parametrize("number, word", [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
@pytest.mark.parametrize("when", ["before its function is called", "at exit"])
def test_a_signal_around_the_command(when, number, word):
    assert end("edgenext-doctor", number, when) == (128 + number, word + "\n")


def test_a_job_in_the_background_ignores_ctrl_c():
    code, errors = end("edgenext-doctor", signal.SIGINT, "while the command is imported", signal.SIG_IGN, seconds=0)
    assert (code, errors) == (0, "")


def test_a_child_ends_without_a_traceback(tmp_path):
    script = tmp_path / "child.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(50)\n")
    child = subprocess.Popen(python_command(str(script)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (-signal.SIGINT, b"")


def test_nothing_large_is_imported_before_the_handlers_are_set():
    code = ("import sys\nbefore = set(sys.modules)\nimport edgenext_deploy.commands.console\n"
            "print(sorted(name for name in {'typing', 'click', 'numpy', 're'} & set(sys.modules) - before))")
    assert subprocess.check_output([sys.executable, "-S", "-c", code], env=dict(os.environ, PYTHONPATH=ROOT)) == b"[]\n"
