"""The file of rows that --resume writes, on a disk that is full and on file systems that lack something."""
import errno
import fcntl
import os
import subprocess
import sys

import pytest
from paths import ROOT

from edgenext_deploy.artifacts.row_file import RowFile
from edgenext_deploy.errors import UsageError


def opened(path):
    return RowFile(str(path), {"engine": "x"}, command="edgenext-run", run="run")


def test_it_is_a_file_of_data(tmp_path):
    before = os.umask(0o022)
    try:
        opened(tmp_path / "rows").close()
    finally:
        os.umask(before)
    assert os.stat(str(tmp_path / "rows")).st_mode & 0o777 == 0o644


def test_a_full_disk_is_said_once_and_the_run_goes_on_later(tmp_path):
    script = (
        "import resource, sys\n"
        "sys.path.insert(0, 'tests/core/artifacts'); sys.path.insert(0, 'tests')\n"
        "from test_row_file import opened\n"
        "from edgenext_deploy.errors import UsageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with opened(sys.argv[1]) as rows:\n"
        "        list(rows.read())\n"
        "        while True:\n"
        "            rows.add({'image': 'x' * 90})\n"
        "except UsageError as error:\n"
        "    print(error)\n")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "rows")], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert "cannot write {}".format(tmp_path / "rows") in done.stdout and "it goes on from here" in done.stdout
    with opened(tmp_path / "rows") as rows:
        assert {row["image"] for _, row in rows.read()} == {"x" * 90}


def test_a_file_system_without_locks_is_no_other_process(tmp_path, monkeypatch):
    with opened(tmp_path / "rows"), pytest.raises(UsageError, match="another process is writing"):
        opened(tmp_path / "rows")

    def flock(stream, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    opened(tmp_path / "rows").close()


def test_nobody_is_told_to_remove_a_device():
    with pytest.raises(UsageError, match=r"can be kept in; give another file with --resume$"):
        opened("/dev/null")
