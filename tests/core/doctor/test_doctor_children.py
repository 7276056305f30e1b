"""What the doctor asks in child processes, which may die, hang or talk nonsense."""
import os
import signal
import sys
import time

import pytest
from doctor_trees import examine, executable, said, write

from edgenext_deploy.doctor.findings import gather, read_probe
from edgenext_deploy.doctor.machine import Machine, Outcome


def module(folder, name, text, version=None):
    write(folder, name + "/__init__.py", text)
    if version is not None:
        write(folder, "{}-{}.dist-info/METADATA".format(name, version))


DIES = "import os, signal\nif 'OPENBLAS_CORETYPE' not in os.environ: os.kill(os.getpid(), signal.SIGILL)\n"
# Enough of numpy for what the probe multiplies.
WORKS = ("__version__ = '1.19.5'\nfloat32 = None\nclass A:\n    def __matmul__(s, o): return s\n"
         "    def sum(s): return 4096.0\ndef ones(*a): return A()\n")


@pytest.fixture
def planted(tmp_path):
    """Return a machine whose Python finds the modules in tmp_path first."""
    environ = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environ["PYTHONPATH"] = str(tmp_path)
    return Machine(timeout_s=20.0, architecture="aarch64", environ=environ)


def test_a_child_that_dies_of_an_illegal_instruction(tmp_path, planted):
    module(tmp_path, "numpy", DIES + WORKS, "1.19.5")
    findings = gather(planted)
    assert findings.numpy.illegal_instruction and not findings.numpy.imported
    assert findings.numpy.version == "1.19.5"
    assert findings.numpy_armv8.imported
    check = examine(planted)[0]["numpy"]
    assert "Illegal instruction" in check.found and "OPENBLAS_CORETYPE=ARMV8 it works" in check.found


def probe(machine, name):
    return read_probe(machine.run([machine.probe_command(name)])[0])


def test_a_library_that_prints_and_crashes_at_exit(tmp_path, planted):
    module(tmp_path, "pip", "import atexit, os, sys\nsys.stdout.write('a line without end')\nsys.stdout.flush()\n"
                            "atexit.register(os.abort)\n"
                            "__version__ = '21.3.1'\n")
    found = probe(planted, "pip")
    assert found.imported and found.version == "21.3.1" and found.failure is None


@pytest.mark.parametrize("text, failure", [
    ("raise ImportError('libnvinfer.so.8: cannot open\\nshared object file')",
     "ImportError: libnvinfer.so.8: cannot open shared object file"),
    ("import sys; sys.exit(3)", "ended with exit code 3"),
    ("import os; os._exit(0)", None),
    ("__version__ = ", "SyntaxError"),
    ("pass", "AttributeError"),
])
def test_libraries_that_fail(tmp_path, planted, text, failure):
    module(tmp_path, "tensorrt", text, "8.2.1.8")
    found = probe(planted, "tensorrt")
    assert not found.imported and not found.absent and found.version == "8.2.1.8"
    assert failure is None or failure in found.failure


def test_an_empty_folder_is_not_a_library(tmp_path, planted):
    (tmp_path / "tensorrt").mkdir()
    assert probe(planted, "tensorrt").absent


def test_an_import_that_hangs_is_stopped_with_its_children(tmp_path, planted):
    module(tmp_path, "tensorrt", "import subprocess, sys, time\n"
           "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
           "open({!r}, 'w').write(str(child.pid))\ntime.sleep(300)\n".format(str(tmp_path / "pid")), "8.2.1.8")
    planted.timeout_s = 2.0
    start = time.monotonic()
    found = probe(planted, "tensorrt")
    assert time.monotonic() - start < 10
    assert found.failure == "did not finish within 2 s" and found.version == "8.2.1.8" and not found.imported
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)


def alive(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_commands_run_side_by_side_and_keep_their_order(tmp_path):
    machine = Machine(timeout_s=20.0)
    code = "import sys, time; time.sleep(float(sys.argv[1])); print(sys.argv[2])"
    taken_s = []
    while not taken_s or (min(taken_s) >= 2.6 and len(taken_s) < 3):  # a busy machine starts programs late
        start = time.monotonic()
        outcomes = machine.run([[sys.executable, "-c", code, delay, word]
                                for delay, word in (("0.9", "a"), ("0.1", "b"), ("0.9", "c"), ("0.9", "d"))])
        taken_s.append(time.monotonic() - start)
        assert [outcome.output.strip() for outcome in outcomes] == ["a", "b", "c", "d"]
    assert min(taken_s) < 2.6  # one after another they sleep 2.8 s


def test_a_command_that_is_not_there():
    outcome = Machine().run([["/no/such/command"]])[0]
    assert outcome.code is None and "No such file" in outcome.failure


def test_a_command_reads_no_input():
    assert Machine(timeout_s=10.0).run([["cat"]])[0] == Outcome(0, "", "", None)


def test_signals_are_named():
    code = "import os; os.kill(os.getpid(), {})"
    outcomes = Machine(timeout_s=20.0).run([
        [sys.executable, "-c", code.format(int(number))] for number in (signal.SIGSEGV, signal.SIGKILL)])
    assert ["SIGSEGV" in outcomes[0].failure, "memory" in outcomes[1].failure] == [True, True]


def test_output_that_is_no_answer():
    assert read_probe(Outcome(0, "[1]\nhello\n", "")).failure == "gave no answer"
    assert read_probe(Outcome(1, "", "Traceback\nImportError: x\n\n")).failure.endswith("ImportError: x")
    assert not read_probe(said(imported="yes")).imported


def test_which_follows_path_only(tmp_path):
    executable(tmp_path, "/opt/b/tool")
    write(tmp_path, "/opt/a/tool")
    os.chmod(str(tmp_path / "opt/a/tool"), 0o644)
    machine = Machine(str(tmp_path), environ={"PATH": ":relative:/opt/a:/opt/b"})
    assert machine.which("tool") == "/opt/b/tool" and machine.which("other") is None
