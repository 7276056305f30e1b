"""The one reader of a machine's files."""
import os
import time

import pytest

from edgenext_deploy.machine.tree import Tree


@pytest.fixture()
def tree(tmp_path):
    os.makedirs(str(tmp_path / "sys" / "b"))
    (tmp_path / "sys" / "a").write_bytes(b"\0 12 \xff\n\0")
    (tmp_path / "sys" / "b" / "empty").write_bytes(b"\n\0")
    return Tree(str(tmp_path))


def test_paths_stay_below_the_root(tree):
    assert tree.glob("/sys/*") == ["/sys/a", "/sys/b"]
    assert tree.glob("/sys/none/*") == []
    assert tree.path("/sys/a") == os.path.join(tree.root, "sys/a")
    assert tree.exists("/sys/b") and not tree.exists("/sys/c")


def test_bytes_that_are_no_utf_8_do_not_end_the_reading(tree):
    assert tree.read("/sys/a") == "\0 12 �\n\0"
    assert tree.line("/sys/a") == "12 �"


def test_what_cannot_be_read_is_an_error_or_none(tree):
    for path in ("/sys/b", "/sys/c"):
        with pytest.raises(OSError):
            tree.read(path)
        assert tree.text(path) is None and tree.line(path) is None
    assert tree.text("/sys/b/empty") == "\n\0" and tree.line("/sys/b/empty") is None
    assert tree.text("/sys/\0") is None


def test_a_long_file_is_cut(tree, tmp_path):
    (tmp_path / "long").write_bytes(b"x" * (1 << 19))
    assert len(tree.read("/long")) == 1 << 18


def test_commands_run_on_the_machine_itself_only(tree):
    assert tree.output_of(["echo", "said"]) is None
    here = Tree()
    assert here.output_of(["echo", "said"]) == "said\n"
    assert here.output_of(["false"]) is None
    assert here.output_of(["no-such-command-here"]) is None
    assert here.output_of(["sleep", "5"], timeout_s=0.05) is None
    began = time.monotonic()
    assert here.output_of(["sh", "-c", "sleep 5; true"], timeout_s=0.05) is None
    assert time.monotonic() - began < 2.0  # not until the shell's own child ends
