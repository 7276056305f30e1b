"""Copies: by digest, resumed, never half; and the bundles that they come in."""
import hashlib
import os
import shutil
import signal

import pytest
from paths import TINY

from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.remote.link.connection import Connection
from edgenext_deploy.remote.link.far_side import copies, requests
from edgenext_deploy.remote.link.far_side.folder import Folder
from edgenext_deploy.remote.link.far_side.wire import RefusedError
from edgenext_deploy.remote.pushing import bundle_of


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def there(board, path):
    return board.root / path


def test_an_engine_goes_with_its_manifest_and_only_once(board):
    bundle = bundle_of(TINY)
    assert [name for name, _, _ in bundle.files] == ["tiny_classifier.onnx", "tiny_classifier.json"]
    path = board.session.push(bundle)
    sent = board.session.sent_bytes
    assert content(path) == content(TINY) and path == str(there(board, bundle.path))
    board.session.push(bundle)
    assert board.session.sent_bytes - sent < 1000
    assert board.session.steps[-1].skipped and "there already" in board.told[-1]


def test_names_in_any_letters(board, tmp_path, monkeypatch):
    """ssh sets no locale, and Python 3.6 then takes names for ASCII."""
    for name in ("LANG", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    for name in ("\u00fc b.jpg", "a\nb.jpg", os.fsdecode(b"\xff.jpg")):
        path = os.fsencode(str(tmp_path)) + b"/" + name.encode("utf-8", "surrogateescape")
        with open(path, "wb") as stream:
            stream.write(b"x")
        there = board.session.push(bundle_of(os.fsdecode(path)))
        with open(there.encode("utf-8", "surrogateescape"), "rb") as stream:
            assert stream.read() == b"x"


def test_a_request_that_fails_is_told(board):
    with Connection(board.route) as connection:
        with pytest.raises(VerificationError, match="the far side failed: KeyError"):
            connection.ask("start", job={}, wait=False, again=False)
        assert connection.ask("jobs")["jobs"] == []


@pytest.mark.parametrize("cut_short", [KeyboardInterrupt, BadInputError("it changed while it was copied")])
def test_the_answer_to_a_request_that_was_cut_short_is_not_the_next_ones(board, cut_short, tmp_path, monkeypatch):
    """Ctrl-C in a notebook, whose board stays open."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("first")
    second.write_text("second")
    there = board.session.push(bundle_of(str(first)))

    def cut(self):
        raise cut_short

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_event", cut)
        with pytest.raises((KeyboardInterrupt, BadInputError)):
            board.session.fetch(os.path.relpath(there, str(board.root)), 100)
    there = board.session.push(bundle_of(str(second)))
    assert board.session.fetch(os.path.relpath(there, str(board.root)), 100) == b"second"


def test_a_damaged_copy_is_replaced(board):
    bundle = bundle_of(TINY)
    path = board.session.push(bundle)
    with open(path, "r+b") as stream:
        stream.write(b"XXXX")
    board.session.push(bundle)
    assert content(path) == content(TINY)


def test_an_interrupted_copy_goes_on(board, tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "big").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    part = there(board, "incoming") / digest

    def cut(count):
        if part.exists() and part.stat().st_size > 1 << 20:
            connection._process.send_signal(signal.SIGKILL)

    with Connection(board.route) as connection, pytest.raises(Exception, match="ended"):
        connection.put("files/x/big", str(tmp_path / "big"), digest, cut)
    assert part.stat().st_size < len(data) and not there(board, "files/x/big").exists()
    with Connection(board.route) as connection:
        before = connection.sent_bytes
        connection.put("files/x/big", str(tmp_path / "big"), digest, lambda count: None)
        assert connection.sent_bytes - before < (2 << 20) + 1000
    assert there(board, "files/x/big").read_bytes() == data and not part.exists()


def test_a_part_of_something_else_is_thrown_away(board, tmp_path):
    (tmp_path / "small").write_bytes(b"right")
    digest = hashlib.sha256(b"right").hexdigest()
    there(board, "incoming").mkdir(parents=True)
    (there(board, "incoming") / digest).write_bytes(b"wro")
    with Connection(board.route) as connection:
        with pytest.raises(BadInputError, match="another digest"):
            connection.put("files/x/small", str(tmp_path / "small"), digest, lambda count: None)
        connection.put("files/x/small", str(tmp_path / "small"), digest, lambda count: None)
    assert there(board, "files/x/small").read_bytes() == b"right"


def test_a_full_disk_is_told_before_anything_is_sent(board, monkeypatch):
    # The far side's text is sent as it stands in the file; a size that no disk has does the same as a full one.
    with Connection(board.route) as connection, pytest.raises(UsageError, match="MB are free") as stopped:
        connection.ask("put", path="files/x/huge", size=1 << 60, sha256="0" * 64)
    assert "--folder" in stopped.value.fix


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "files/../../x"])
def test_nothing_outside_of_the_folder_is_touched(board, path):
    with Connection(board.route) as connection:
        with pytest.raises(UsageError, match="not below"):
            connection.get(path, 100)
        with pytest.raises(UsageError, match="not below"):
            connection.ask("put", path=path, size=1, sha256="0" * 64)


def test_a_folder_of_another_user_is_told_by_who_writes_there(tmp_path, monkeypatch):
    """Made with sudo, for example. Looking fails too, but its traceback would tell nobody what to do."""
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", path)

    for name in ("incoming", "venvs", "packages"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "makedirs", refuse)
    folder = Folder(str(tmp_path))
    copies.forget_old_copies(folder)
    assert requests.hello(folder)["ready"] == []
    with pytest.raises(RefusedError, match="Permission denied"):
        folder.make("jobs")


def test_what_is_no_file_is_not_read(board):
    (board.root / "files").mkdir(parents=True)
    os.mkfifo(str(board.root / "files" / "pipe"))
    with Connection(board.route) as connection, pytest.raises(BadInputError):
        connection.get("files/pipe", 100)


def test_a_folder_of_photos(tmp_path):
    (tmp_path / "photos" / "b").mkdir(parents=True)
    (tmp_path / "photos" / "b" / "1.jpg").write_bytes(b"1")
    bundle = bundle_of(str(tmp_path / "photos"))
    assert bundle.name == "photos" and [name for name, _, _ in bundle.files] == [os.path.join("photos", "b", "1.jpg")]
    (tmp_path / "photos" / "b" / "1.jpg").write_bytes(b"2")
    assert bundle_of(str(tmp_path / "photos")).folder != bundle.folder
    shutil.rmtree(str(tmp_path / "photos" / "b"))
    with pytest.raises(BadInputError, match="no files"):
        bundle_of(str(tmp_path / "photos"))


def test_the_far_side_is_python_3_6_and_stands_alone():
    names = set()
    folder = os.path.dirname(copies.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                names |= {line.split()[1] for line in stream if line.startswith(("import ", "from "))}
    ours = {name for name in names if name.startswith("edgenext_deploy")}
    assert all(name.startswith("edgenext_deploy.remote.link.far_side.") for name in ours) and "numpy" not in names
