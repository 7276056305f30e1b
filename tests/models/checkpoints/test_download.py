import dataclasses
import http.server
import os
import socket
import threading

import pytest

from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import cache_folder
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.variants.registry import Checkpoint, get_variant

CONTENT = bytes(range(256)) * 4000
XXS = get_variant("xxs")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        self.send_response(302 if self.path.startswith("/moved") else 200)
        if self.path == "/moved.pth":
            self.send_header("Location", "/whole.pth")
        elif self.path == "/moved-to-ftp.pth":
            self.send_header("Location", "ftp://127.0.0.1/whole.pth")
        elif self.path == "/moved-to-http.pth":
            self.send_header("Location", "http://example.invalid/whole.pth")
        if self.path != "/no-length.pth":
            self.send_header("Content-Length", str(0 if self.path.startswith("/moved") else len(CONTENT)))
        self.end_headers()
        if not self.path.startswith("/moved"):
            self.wfile.write(CONTENT[:1000] if self.path == "/truncated.pth" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.paths = []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def checkpoint_at(port, name="whole.pth"):
    return Checkpoint("weights.pth", f"http://127.0.0.1:{port}/{name}", "official", 71.23, 0.875, "a test")


def fetch_from(server, name, folder, progress=False):
    checkpoint = checkpoint_at(server.server_address[1], name)
    return fetch(XXS, checkpoint, str(folder), progress, allow_localhost=True)


def test_download_lands_in_the_cache_and_is_used_again(server, tmp_path):
    folder = tmp_path / "new" / "cache"
    path = fetch_from(server, "whole.pth", folder)
    assert path == str(folder / "weights.pth")
    assert (folder / "weights.pth").read_bytes() == CONTENT
    assert fetch_from(server, "whole.pth", folder) == path
    assert server.paths == ["/whole.pth"]
    assert os.listdir(folder) == ["weights.pth"]


def test_default_is_the_first_checkpoint(server, tmp_path):
    first = checkpoint_at(server.server_address[1])
    variant = dataclasses.replace(XXS, checkpoints=(first, checkpoint_at(1)))
    fetch(variant, cache_dir=str(tmp_path), progress=False, allow_localhost=True)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_empty_leftover_is_replaced(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    fetch_from(server, "whole.pth", tmp_path)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["moved.pth", "no-length.pth"])
def test_redirect_and_unknown_length(server, tmp_path, name):
    fetch_from(server, name, tmp_path)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_progress_goes_to_stderr(server, tmp_path, capsys):
    fetch_from(server, "whole.pth", tmp_path, progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert "weights.pth" in output.err
    assert "1.0" in output.err


def assert_missing(caught, folder, *parts):
    error = caught.value
    assert error.exit_code == 6
    for part in parts:
        assert part in error.message
    assert "--weights weights.pth" in error.fix
    assert "http://127.0.0.1" in error.fix
    assert list(folder.iterdir()) == []


def test_truncated_response(server, tmp_path):
    with pytest.raises(MissingRuntimeError) as caught:
        fetch_from(server, "truncated.pth", tmp_path)
    assert_missing(caught, tmp_path, "the connection broke", "/truncated.pth", "nothing was kept")


def test_no_such_file(server, tmp_path):
    with pytest.raises(MissingRuntimeError) as caught:
        fetch_from(server, "missing.pth", tmp_path)
    assert_missing(caught, tmp_path, "127.0.0.1 answered 404", "/missing.pth")


def test_no_server(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        checkpoint = checkpoint_at(unused.getsockname()[1])
        with pytest.raises(MissingRuntimeError) as caught:
            fetch(XXS, checkpoint, str(tmp_path), progress=False, allow_localhost=True)
    assert_missing(caught, tmp_path, "no network", "127.0.0.1", "/whole.pth was not downloaded")


def test_server_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("edgenext_deploy.models.checkpoints.download._TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(MissingRuntimeError) as caught:
            fetch(XXS, checkpoint_at(silent.getsockname()[1]), str(tmp_path), False, allow_localhost=True)
    assert_missing(caught, tmp_path, "no network", "did not answer")


def test_name_that_cannot_be_resolved(tmp_path, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def getaddrinfo(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(MissingRuntimeError) as caught:
        fetch(XXS, cache_dir=str(tmp_path), progress=False)
    assert "no network: the name github.com cannot be resolved" in caught.value.message
    assert XXS.checkpoints[0].url in caught.value.message
    assert "--weights edgenext_xx_small.pth" in caught.value.fix


@pytest.mark.parametrize("url", ["http://example.com/a.pth", "file:///etc/passwd", "ftp://example.com/a.pth"])
def test_only_https(tmp_path, url):
    checkpoint = dataclasses.replace(checkpoint_at(1), url=url)
    with pytest.raises(UsageError, match="only downloaded over https"):
        fetch(XXS, checkpoint, str(tmp_path), progress=False, allow_localhost=True)


def test_localhost_only_when_allowed(tmp_path):
    with pytest.raises(UsageError, match="only downloaded over https"):
        fetch(XXS, checkpoint_at(1), str(tmp_path), progress=False)


@pytest.mark.parametrize("name", ["moved-to-ftp.pth", "moved-to-http.pth"])
def test_redirect_to_a_less_safe_address(server, tmp_path, name):
    with pytest.raises(UsageError, match="only downloaded over https"):
        fetch_from(server, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_variant_without_published_weights(tmp_path):
    with pytest.raises(UsageError, match="no weights are published"):
        fetch(dataclasses.replace(XXS, checkpoints=()), cache_dir=str(tmp_path))


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(UsageError, match="cannot write to the cache") as caught:
        fetch_from(server, "whole.pth", tmp_path / "file" / "cache")
    assert "EDGENEXT_CACHE" in caught.value.fix


def test_disk_that_is_full(server, tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UsageError, match="No space left on device"):
        fetch_from(server, "whole.pth", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("EDGENEXT_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == "/own"
    monkeypatch.delenv("EDGENEXT_CACHE")
    assert cache_folder() == "/xdg/edgenext-deploy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == os.path.join(os.path.expanduser("~"), ".cache", "edgenext-deploy")
