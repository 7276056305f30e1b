"""Folders for temporary files: private, gone afterwards, and what a kill leaves is cleared by the next."""
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from paths import ROOT

from edgenext_deploy.child_process import python_command
from edgenext_deploy.errors import UsageError
from edgenext_deploy.scratch import scratch_folder

HOLDS = ("import sys, time\nfrom edgenext_deploy.scratch import scratch_folder\n"
         "with scratch_folder() as folder:\n"
         "    open(folder + '/large', 'w').write('x')\n    print(folder, flush=True)\n    time.sleep(60)\n")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Return the folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def holder():
    """Return a process that holds a scratch folder, and the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, universal_newlines=True,
                               env=dict(os.environ, PYTHONPATH=ROOT))
    return process, process.stdout.readline().strip()


def test_a_folder_is_private_and_does_not_stay(temporary):
    with scratch_folder() as folder:
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700 and os.path.dirname(folder) == str(temporary)
    with pytest.raises(KeyError), scratch_folder():
        raise KeyError
    assert os.listdir(str(temporary)) == []


def test_what_a_killed_process_left_is_cleared_and_what_another_uses_is_not(temporary):
    (dead, left), (alive, used) = holder(), holder()
    dead.kill()
    dead.wait()
    assert os.path.exists(left + "/large")
    foreign = temporary / "edgenext-scratch-of-mine"
    foreign.mkdir()
    (foreign / "thesis").write_text("")
    os.mkdir(str(temporary / "edgenext-scratch-empty"))  # killed before the lock was made
    os.symlink(used, str(temporary / "edgenext-scratch-link"))
    with scratch_folder():
        pass
    assert not os.path.exists(left) and os.path.exists(used + "/large") and (foreign / "thesis").exists()
    assert not (temporary / "edgenext-scratch-empty").exists()
    alive.kill()
    alive.wait()
    alive.stdout.close()
    dead.stdout.close()


def test_many_at_once_do_not_clear_each_other(temporary):
    failed = []

    def work():
        for _ in range(40):
            with scratch_folder() as folder:
                if os.listdir(folder) != [".lock"]:
                    failed.append(folder)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and os.listdir(str(temporary)) == []


def test_a_folder_that_cannot_be_made_is_one_line(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with pytest.raises(UsageError, match=r"temporary files: .*No such file.*TMPDIR"), scratch_folder():
        pass


def gone(process_id):
    """Whether a process has ended, within 5 s."""
    for _ in range(500):
        try:
            with open("/proc/{}/stat".format(process_id)) as stream:
                if stream.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_and_its_child_die_with_their_parent(tmp_path, number):
    """The parent has no time to say goodbye; also where it dies before the child has asked to be told."""
    (tmp_path / "last.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    (tmp_path / "middle.py").write_text(
        "import os, subprocess, sys\nfrom edgenext_deploy.child_process import python_command\n"
        "print(os.getpid(), flush=True)\n"
        "subprocess.call(python_command(sys.argv[1]))\n")
    code = ("import subprocess, sys\nfrom edgenext_deploy.child_process import python_command\n"
            "subprocess.call(python_command(sys.argv[1], sys.argv[2:]))\n")
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "middle.py"), str(tmp_path / "last.py")],
        stdout=subprocess.PIPE, universal_newlines=True, env=dict(os.environ, PYTHONPATH=ROOT))
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    assert [gone(child) for child in children] == [True, True]


def test_a_child_whose_parent_is_gone_already_does_nothing(tmp_path):
    made = tmp_path / "made"
    (tmp_path / "child.py").write_text("open({!r}, 'w')".format(str(made)))
    command = python_command(str(tmp_path / "child.py"))
    command[command.index(str(os.getpid()))] = "999999999"
    assert subprocess.call(command) != 0 and not made.exists()
