import contextlib
import dataclasses
import hashlib
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from file_server import serving

from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError
from edgenext_deploy.files import cache_folder
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.variants.registry import VARIANTS, Checkpoint, get_variant

HEADER = b'{"a":{"dtype":"U8","shape":[1024000],"data_offsets":[0,1024000]}}'
CONTENT = len(HEADER).to_bytes(8, "little") + HEADER + bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HTML = b"<!doctype html><title>log in to this network</title>"
XXS = get_variant("xxs")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path in ANSWERS:
            self.wfile.write(ANSWERS[self.path])
            return
        if self.path == "/breaks-once.pth":
            self.breaks_once()
            return
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        self.send_response(302 if self.path.startswith("/moved") else 200)
        if self.path == "/moved.pth":
            self.send_header("Location", "/whole.pth")
        self.send_header("Content-Length", str(0 if self.path.startswith("/moved") else len(CONTENT)))
        self.end_headers()
        if not self.path.startswith("/moved"):
            self.wfile.write(CONTENT[:1000] if self.path == "/truncated.pth" else CONTENT)

    def breaks_once(self, end=None, stalls_s=0.0):
        start = self.headers.get("Range")
        if start:
            assert self.headers["If-Range"] == '"tag"'
            first = int(start[len("bytes="):-1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
            rest = CONTENT[first:]
            sent = CONTENT[first:end]
            self.server.paths.append(first)
        else:
            self.send_response(200)
            rest, sent = CONTENT, CONTENT[:300_000]
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(sent)
        time.sleep(stalls_s)

    def log_message(self, *_):
        pass


def answer(*headers, body=b"", status="200 OK"):
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")).encode("latin-1") + body


# Each with what is said of it.
WRONG = {
    "/html": (answer(f"Content-Length: {len(HTML)}", body=HTML), "is a web page, not weights"),
    "/empty": (answer("Content-Length: 0"), "0 bytes"),
    "/no-length": (answer(body=CONTENT), "unknown length"),
    "/short-length": (answer("Content-Length: 100", body=CONTENT), "cut off"),
    "/negative": (answer("Content-Length: -5", body=CONTENT), "no number of bytes"),
    "/digits": (answer("Content-Length: " + 5000 * "9", body=CONTENT), "no number of bytes"),
    "/squared": (answer("Content-Length: ²", body=CONTENT), "no number of bytes"),
    "/two-lengths": (answer("Content-Length: 3", "Content-Length: 5", body=CONTENT), "no number of bytes"),
    "/huge": (answer("Content-Length: 99999999999"), "99999999999 bytes"),
    "/chunk": (answer("Transfer-Encoding: chunked", body=b"ZZ\r\n"), "the connection broke"),
    "/garbage": (b"\0\xff\x1b[31m garbage\r\n\r\n", "the connection broke"),
    "/escape": (answer(status="404 \x1b[31mNo\x07"), "answered 404"),
    "/headers": (answer(*(f"X{index}: a" for index in range(1000))), "the connection broke"),
    "/part": (answer("Content-Range: bytes 5-9/10", status="206 Partial"), "another part of the file"),
    "/loop": (answer("Location: /loop", "Content-Length: 0", status="302 Found"), "redirects"),
    "/nowhere": (answer(status="302 Found"), "redirects"),
    "/to-http": (answer("Location: http://example.invalid/a", status="302 Found"), "only downloaded over https"),
    "/to-ftp": (answer("Location: ftp://127.0.0.1/a", status="302 Found"), "only downloaded over https"),
    "/to-file": (answer("Location: file:///etc/passwd", status="302 Found"), "only downloaded over https"),
    "/to-bracket": (answer("Location: http://[::1", status="302 Found"), "Invalid IPv6 URL"),
    "/to-port": (answer("Location: https://a:99999/", status="302 Found"), "is no address"),
}
ANSWERS = {path: content for path, (content, _) in WRONG.items()}
ANSWERS["/hub"] = answer(f"Content-Length: {len(CONTENT)}", f'X-Linked-Etag: "{DIGEST}"', body=CONTENT)
ANSWERS["/hub-lies"] = answer(f"Content-Length: {len(CONTENT)}", f'X-Linked-Etag: "{64 * "a"}"', body=CONTENT)
ANSWERS["/chunked"] = answer("Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT))


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch, Handler, paths=[]) as running:
        yield running


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
    assert sorted(os.listdir(folder)) == ["weights.pth", "weights.pth.sha256"]
    assert (folder / "weights.pth.sha256").read_text() == f"{DIGEST}  weights.pth\n"


def test_default_is_the_first_checkpoint(server, tmp_path):
    first = checkpoint_at(server.server_address[1])
    variant = dataclasses.replace(XXS, checkpoints=(first, checkpoint_at(1)))
    fetch(variant, cache_dir=str(tmp_path), progress=False, allow_localhost=True)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_empty_leftover_is_replaced(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    fetch_from(server, "whole.pth", tmp_path)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["moved.pth", "chunked"])
def test_redirect_and_chunks(server, tmp_path, name):
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
    monkeypatch.setattr("edgenext_deploy.models.checkpoints.transfer._TIMEOUT_S", 0.2)
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


@pytest.mark.parametrize("path", WRONG)
def test_wrong_answer(server, tmp_path, path):
    with pytest.raises(MissingRuntimeError) as caught:
        fetch_from(server, path[1:], tmp_path)
    assert_missing(caught, tmp_path, WRONG[path][1])
    assert str(caught.value).isprintable()
    assert len(caught.value.message) < 400


def slow(first, rest):
    """Return the port of a server that sends one byte after another, each within any timeout."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listening.accept()
        with contextlib.suppress(OSError), connection, listening:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + first)
            while True:
                connection.sendall(rest)
                time.sleep(0.02)

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


@pytest.mark.parametrize(("first", "rest"), [
    (b"X: ", b"a"), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), (b"Content-Length: 1000\r\n\r\n", b"a")])
def test_whole_time_is_limited(tmp_path, monkeypatch, first, rest):
    monkeypatch.setattr("edgenext_deploy.models.checkpoints.transfer._DEADLINE_S", 0.4)
    with pytest.raises(MissingRuntimeError) as caught:
        fetch(XXS, checkpoint_at(slow(first, rest)), str(tmp_path), False, allow_localhost=True)
    assert_missing(caught, tmp_path, "it did not end within 0 s")


def test_body_without_end(server, tmp_path, monkeypatch):
    monkeypatch.setattr("edgenext_deploy.models.checkpoints.transfer.MOST_BYTES", 500_000)
    with pytest.raises(MissingRuntimeError) as caught:
        fetch_from(server, "chunked", tmp_path)
    assert_missing(caught, tmp_path, "more than 500000 bytes")


def test_broken_transfer_is_resumed(server, tmp_path):
    with pytest.raises(MissingRuntimeError, match=f"300000 bytes of {len(CONTENT)} came") as caught:
        fetch_from(server, "breaks-once.pth", tmp_path)
    assert "the next run goes on behind byte 300000" in caught.value.message
    assert sorted(os.listdir(tmp_path)) == [".weights.pth.part", ".weights.pth.part.json"]
    path = fetch_from(server, "breaks-once.pth", tmp_path)
    assert server.paths[-1] == 300_000
    assert Path(path).read_bytes() == CONTENT
    assert sorted(os.listdir(tmp_path)) == ["weights.pth", "weights.pth.sha256"]


@pytest.mark.parametrize("trouble", ["no network", "503", "stalls"])
def test_what_came_outlives_a_run_without_an_answer(server, tmp_path, monkeypatch, trouble):
    with pytest.raises(MissingRuntimeError):
        fetch_from(server, "breaks-once.pth", tmp_path)
    with monkeypatch.context() as patch, pytest.raises(MissingRuntimeError) as caught:
        if trouble == "no network":
            patch.setattr(socket, "create_connection", lambda *_, **__: (_ for _ in ()).throw(OSError("unreachable")))
        elif trouble == "503":
            patch.setattr(Handler, "do_GET", lambda handler: handler.send_error(503))
        else:
            patch.setattr("edgenext_deploy.models.checkpoints.transfer._TIMEOUT_S", 0.1)
            patch.setattr(Handler, "do_GET", lambda handler: handler.breaks_once(400_000, stalls_s=0.5))
        fetch_from(server, "breaks-once.pth", tmp_path)
    kept = 400_000 if trouble == "stalls" else 300_000
    assert f"the next run goes on behind byte {kept}" in caught.value.message
    assert Path(fetch_from(server, "breaks-once.pth", tmp_path)).read_bytes() == CONTENT
    assert server.paths[-1] == kept


def test_rest_of_another_address_is_not_taken(server, tmp_path):
    with pytest.raises(MissingRuntimeError):
        fetch_from(server, "breaks-once.pth", tmp_path)
    assert Path(fetch_from(server, "whole.pth", tmp_path)).read_bytes() == CONTENT


def test_mirror_where_the_publisher_does_not_answer(server, tmp_path, capsys):
    port = server.server_address[1]
    mirror = dataclasses.replace(checkpoint_at(port), file="mirror.safetensors")
    both = dataclasses.replace(checkpoint_at(port, "missing.pth"), mirrors=(mirror,))
    path = fetch(XXS, both, str(tmp_path), allow_localhost=True)
    assert path == str(tmp_path / "mirror.safetensors")
    assert f"answered 404 Not Found to {both.url}; trying {mirror.url}" in capsys.readouterr().err
    assert fetch(XXS, both, str(tmp_path), allow_localhost=True) == path
    assert server.paths == ["/missing.pth", "/whole.pth"]


@pytest.mark.parametrize(("name", "pinned", "said"), [
    ("whole.pth", "", "recorded on first use, because its publisher gives none"),
    ("whole.pth", DIGEST[:8], f"as published: {DIGEST[:8]}"),
    ("hub", "", "as the publisher's server announced")])
def test_digest_is_said_with_its_origin(server, tmp_path, capsys, name, pinned, said):
    checkpoint = dataclasses.replace(checkpoint_at(server.server_address[1], name), sha256=pinned)
    fetch(XXS, checkpoint, str(tmp_path), allow_localhost=True)
    assert f"{len(CONTENT)} bytes, SHA-256 {DIGEST}, {said}" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "pinned", "said"), [
    ("whole.pth", "0123abcd", "0123abcd is published"), ("hub-lies", "", "aaaa is announced by the server")])
def test_wrong_digest(server, tmp_path, name, pinned, said):
    checkpoint = dataclasses.replace(checkpoint_at(server.server_address[1], name), sha256=pinned)
    with pytest.raises(MissingRuntimeError) as caught:
        fetch(XXS, checkpoint, str(tmp_path), False, allow_localhost=True)
    assert_missing(caught, tmp_path, said)


def test_file_that_changed_in_the_cache(server, tmp_path):
    path = Path(fetch_from(server, "whole.pth", tmp_path))
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(BadInputError, match="recorded when it was downloaded") as caught:
        fetch_from(server, "whole.pth", tmp_path)
    assert caught.value.fix == f"remove {path} and run the same command again"


def test_pipe_in_the_cache_is_not_opened(server, tmp_path):
    os.mkfifo(tmp_path / "weights.pth")
    with pytest.raises(BadInputError, match="is not a file"):
        fetch_from(server, "whole.pth", tmp_path)


def test_certificate_that_nobody_vouches_for(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError), listening:
            context.wrap_socket(listening.accept()[0], server_side=True)

    threading.Thread(target=serve, daemon=True).start()
    checkpoint = dataclasses.replace(checkpoint_at(1), url=f"https://127.0.0.1:{listening.getsockname()[1]}/a.pth")
    with pytest.raises(MissingRuntimeError, match="no trusted connection to 127"):
        fetch(XXS, checkpoint, str(tmp_path / "cache"), progress=False)


def test_published_digests_are_hexadecimal():
    files = [file for variant in VARIANTS.values() for file in variant.published_files]
    assert all(re.fullmatch("([0-9a-f]{8}|[0-9a-f]{64})?", file.sha256) for file in files)
    assert {file.file.split("-")[-1].split(".")[0] for file in files if file.sha256} == {
        file.sha256 for file in files if file.sha256}
    assert len({file.file for file in files}) == len({file.url for file in files}) == len(files)


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
