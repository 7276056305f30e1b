"""Fetching published weights, only when asked to, into a cache."""
import contextlib
import http.client
import os
import socket
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO, Any

from edgenext_deploy.data import path_of
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import cache_folder
from edgenext_deploy.models.variants.registry import Checkpoint, Variant

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 18


def fetch(
    variant: Variant,
    checkpoint: Checkpoint | None = None,
    cache_dir: str | None = None,
    progress: bool = True,
    allow_localhost: bool = False,
) -> str:
    """Return the path of a published weights file, downloading it unless it ships or the cache has it.

    The file is written under a temporary name, compared with the length that the server announced, and renamed.
    So a file in the cache is complete.

    Args:
        variant: variant whose weights are wanted.
        checkpoint: one of ``variant.checkpoints``; by default the file that ships, or else the first.
        cache_dir: folder to keep the file in; by default `cache_folder`.
        progress: show a progress bar on stderr.
        allow_localhost: also take plain http, from this machine only.

    Raises:
        UsageError: nothing is published for the variant, the address is not https, or the cache cannot be
            written.
        MissingRuntimeError: no network, no such file there, or the connection broke.
    """
    if checkpoint is None and variant.bundled_weights:
        return path_of(variant.bundled_weights)
    if checkpoint is None:
        if not variant.checkpoints:
            raise UsageError(f"no weights are published for {variant.name}", "give a file: --weights FILE")
        checkpoint = variant.checkpoints[0]
    folder = cache_dir or cache_folder()
    path = os.path.join(folder, checkpoint.file)
    if os.path.isfile(path) and os.path.getsize(path) > 0:
        return path
    _require_allowed(checkpoint.url, allow_localhost)
    with _cache_errors(folder):
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="." + checkpoint.file + ".", dir=folder)
    try:
        with _cache_errors(folder), os.fdopen(handle, "wb") as stream:
            _download(checkpoint, stream, folder, progress, allow_localhost)
        with _cache_errors(folder):
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return path


def _download(
    checkpoint: Checkpoint, stream: IO[bytes], folder: str, progress: bool, allow_localhost: bool,
) -> None:
    opener = urllib.request.build_opener(_Redirects(allow_localhost))
    request = urllib.request.Request(checkpoint.url, headers={"User-Agent": "edgenext-deploy"})
    received = 0
    with _network_errors(checkpoint), opener.open(request, timeout=_TIMEOUT_S) as response:
        length = response.headers.get("Content-Length")
        expected = int(length) if length is not None and length.isdigit() else None
        with _progress_bar(checkpoint.file, expected, progress) as advance:
            for chunk in iter(lambda: response.read(_CHUNK_BYTES), b""):
                with _cache_errors(folder):
                    stream.write(chunk)
                received += len(chunk)
                advance(len(chunk))
    with _cache_errors(folder):
        stream.flush()
        os.fsync(stream.fileno())
    if expected is not None and received != expected:
        raise _broken(checkpoint, f"{received} bytes of {expected} came")


@contextlib.contextmanager
def _network_errors(checkpoint: Checkpoint) -> Iterator[None]:
    host = urllib.parse.urlsplit(checkpoint.url).hostname
    by_hand = _by_hand(checkpoint)
    try:
        yield
    except urllib.error.HTTPError as error:
        raise MissingRuntimeError(
            f"{host} answered {error.code} {error.reason} to {checkpoint.url}", by_hand) from error
    except (http.client.HTTPException, ConnectionResetError) as error:
        raise _broken(checkpoint, str(error) or type(error).__name__) from error
    except OSError as error:  # URLError and timeouts among them
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, socket.gaierror):
            what = f"no network: the name {host} cannot be resolved"
        elif isinstance(reason, ssl.SSLError):
            what = f"no trusted connection to {host}: {reason}"
        elif isinstance(reason, TimeoutError):
            what = f"no network: {host} did not answer within {_TIMEOUT_S:.0f} s"
        else:
            what = f"no network: {host} cannot be reached ({reason or type(reason).__name__})"
        raise MissingRuntimeError(f"{what}; {checkpoint.url} was not downloaded", by_hand) from error


@contextlib.contextmanager
def _cache_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write to the cache {folder}: {error.strerror or error}",
            "free some space there, or set EDGENEXT_CACHE to a folder that can be written") from error


def _broken(checkpoint: Checkpoint, detail: str) -> MissingRuntimeError:
    return MissingRuntimeError(
        f"the connection broke while {checkpoint.url} was downloaded: {detail}; nothing was kept",
        "run the same command again, or " + _by_hand(checkpoint))


def _by_hand(checkpoint: Checkpoint) -> str:
    return f"download {checkpoint.url} by hand on another machine and pass --weights {checkpoint.file}"


def _require_allowed(url: str, allow_localhost: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    local = allow_localhost and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if parts.scheme != "https" and not local:
        raise UsageError(f"weights are only downloaded over https, {url} found")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects (releases are kept on another host), but never to a less safe address."""

    def __init__(self, allow_localhost: bool) -> None:
        self.allow_localhost = allow_localhost

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any,
                         newurl: str) -> urllib.request.Request | None:
        _require_allowed(newurl, self.allow_localhost)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _progress_bar(title: str, total_bytes: int | None, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes that have arrived since the last call."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda count: bar.advance(task, count)
