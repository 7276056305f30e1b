import errno
import os
import stat
import subprocess
import sys

import pytest
from paths import ROOT

from edgenext_deploy import files
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import require_file, sha256_of_bytes, sha256_of_file, write_files_atomically


@pytest.fixture
def pair(tmp_path):
    """Two files with old contents, and nothing else in the folder."""
    first, second = tmp_path / "a.onnx", tmp_path / "a.json"
    first.write_bytes(b"old first")
    second.write_bytes(b"old second")
    return str(first), str(second)


def contents(folder):
    found = {}
    for name in os.listdir(str(folder)):
        with open(os.path.join(str(folder), name), "rb") as stream:
            found[name] = stream.read()
    return found


OLD = {"a.onnx": b"old first", "a.json": b"old second"}


def test_digests_are_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_bytes(b"abc") == expected == sha256_of_file(str(path))
    path.write_bytes(b"x" * (3 << 20))
    assert sha256_of_file(str(path)) == sha256_of_bytes(b"x" * (3 << 20))


def test_files_are_written_and_replaced(pair, tmp_path):
    write_files_atomically({pair[0]: b"new first", pair[1]: b"new second"})
    assert contents(tmp_path) == {"a.onnx": b"new first", "a.json": b"new second"}


def test_folders_are_made_and_relative_names_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files_atomically({"here": b"1", os.path.join("deep", "er", "there"): b"2"})
    assert (tmp_path / "here").read_bytes() == b"1"
    assert (tmp_path / "deep" / "er" / "there").read_bytes() == b"2"


def test_a_file_in_a_folder_that_may_not_be_entered_is_not_said_to_be_missing(monkeypatch):
    def stat(path, **more):
        raise PermissionError(13, "Permission denied", path)  # chmod does not stop root

    monkeypatch.setattr(files.os, "stat", stat)
    with pytest.raises(BadInputError, match=r"photo cannot be read \(permission denied\): locked/a\.jpg; .*namei -l"):
        files.require_file("locked/a.jpg", "photo", "copy it")


def test_a_name_may_be_as_long_as_the_file_system_takes_it(tmp_path):
    names = ["x" * 255, "é" * 127]
    for content in (b"old", b"new"):
        write_files_atomically({str(tmp_path / name): content for name in names})
    assert contents(tmp_path) == dict.fromkeys(names, b"new")


def test_a_hint_for_a_name_does_not_read_a_large_folder(tmp_path):
    for number in range(1500):
        os.symlink("nowhere", str(tmp_path / "{:04d}.jpg".format(number)))
    seen = []
    found = files.some_beside(str(tmp_path / "none.jpg"), lambda name: not seen.append(name), 3)
    assert len(found) == 3 and len(seen) == 1000


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_files_atomically({str(tmp_path / "file"): b""})
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert os.stat(str(tmp_path / "file")).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["fdopen", "fsync", "chmod"])
def test_full_disk_at_the_second_file_leaves_everything_as_it_was(pair, tmp_path, monkeypatch, step):
    calls = []
    original = getattr(os, step)

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(UsageError, match="No space left on device") as caught:
        write_files_atomically({pair[0]: b"new first", pair[1]: b"new second"})
    assert caught.value.exit_code == 2 and pair[1] in str(caught.value)
    assert contents(tmp_path) == OLD


@pytest.mark.parametrize("size", [5000, 100000])  # less and more than Python writes at once
def test_real_write_beyond_a_limit_leaves_everything_as_it_was(pair, tmp_path, size):
    script = (
        "import resource, sys\n"
        "from edgenext_deploy.errors import UsageError\n"
        "from edgenext_deploy.files import write_files_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_files_atomically({sys.argv[1]: b'small', sys.argv[2]: b'x' * int(sys.argv[3])})\n"
        "except UsageError as error:\n"
        "    print(error)\n")
    done = subprocess.run([sys.executable, "-c", script, pair[0], pair[1], str(size)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert "cannot write {}".format(pair[1]) in done.stdout
    assert contents(tmp_path) == OLD


def test_interruption_leaves_everything_as_it_was(pair, tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files_atomically({pair[0]: b"new first", pair[1]: b"new second"})
    assert contents(tmp_path) == OLD


def test_folder_in_the_way_of_one_file_leaves_the_other_as_it_was(pair, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="folder of that name"):
        write_files_atomically({pair[0]: b"new first", str(tmp_path / "taken"): b"new second"})
    assert sorted(os.listdir(str(tmp_path))) == ["a.json", "a.onnx", "taken"]
    with open(pair[0], "rb") as stream:
        assert stream.read() == b"old first"


@pytest.mark.parametrize("folder", [
    "{tmp}/a.onnx", "{tmp}/a.onnx/deeper", "/proc/nowhere", "{tmp}/" + "n" * 300])
def test_folder_that_cannot_be_written_is_a_usage_error(pair, tmp_path, folder):
    path = os.path.join(folder.format(tmp=tmp_path), "file")
    with pytest.raises(UsageError, match=r"cannot write .*another folder"):
        write_files_atomically({pair[1]: b"new second", path: b"data"})
    assert contents(tmp_path) == OLD


def test_require_file_names_the_problem(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(BadInputError, match=r"thing not found: .*file; mend it"):
        require_file(str(path), "thing", "mend it")
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match="thing is empty"):
        require_file(str(path), "thing", "mend it")
    with pytest.raises(BadInputError, match="thing is not a file"):
        require_file(str(tmp_path), "thing", "mend it")
    path.write_bytes(b"x")
    require_file(str(path), "thing", "mend it")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match="not found"):
        require_file(str(dangling), "thing", "mend it")


def test_file_without_permission_is_bad_input(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    monkeypatch.setattr(files.os, "access", lambda name, mode: False)  # chmod does not stop root
    with pytest.raises(BadInputError, match="permission denied") as caught:
        require_file(str(path), "thing", "take another one")
    assert caught.value.fix == "see who may read it, and its folders: namei -l {}".format(path)


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    """Root may rename over /dev/null, and then there is none."""
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    beside = str(tmp_path / "beside")
    write_files_atomically({pipe: b"into the pipe", beside: b"beside"})
    assert os.read(reader, 100) == b"into the pipe"
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    with open(beside, "rb") as stream:
        assert stream.read() == b"beside"
