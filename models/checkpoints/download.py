"""Fetching published weights, only when asked to, into a cache; every file is compared with its digest."""
import contextlib
import os
import re
from collections.abc import Callable, Iterator

import click

from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError
from edgenext_deploy.files import cache_folder, require_file, sha256_of_file, write_files_atomically
from edgenext_deploy.models.checkpoints.outer_shell import require_weights
from edgenext_deploy.models.checkpoints.partial_file import cache_errors, partial_file
from edgenext_deploy.models.checkpoints.transfer import (
    MOST_BYTES,
    BrokenTransferError,
    NoAnswerError,
    require_https,
    transfer,
)
from edgenext_deploy.models.variants.registry import Checkpoint, Variant

_RECORD = ".sha256"


def fetch(
    variant: Variant,
    checkpoint: Checkpoint | None = None,
    cache_dir: str | None = None,
    progress: bool = True,
    allow_localhost: bool = False,
) -> str:
    """Return the path of a published weights file, downloading it unless it ships or the cache has it.

    The publisher's server is asked first, then the mirrors. What comes is written under another name, and renamed when
    its length, its digest and its outer shell are right. The digest is the publisher's, where the registry or the
    server's answer has one; otherwise that of the first download, which is recorded next to the file. A later call
    compares the file with it. A transfer that broke is gone on from where the server allows it.

    Args:
        variant: variant whose weights are wanted.
        checkpoint: one of ``variant.checkpoints``; by default the file that ships, or else the first.
        cache_dir: folder to keep the file in; by default `cache_folder`.
        progress: show a progress bar, the digest and where it is from on stderr.
        allow_localhost: also take plain http, from this machine only.

    Raises:
        UsageError: nothing is published for the variant, the address is not https, or the cache cannot be
            written.
        BadInputError: the file in the cache is not the one that was downloaded.
        MissingRuntimeError: no network, no such file there, the connection broke, or what came is wrong.
    """
    if checkpoint is None and variant.bundled_weights:
        return path_of(variant.bundled_weights)
    if checkpoint is None:
        if not variant.checkpoints:
            raise UsageError(f"no weights are published for {variant.name}", "give a file: --weights FILE")
        checkpoint = variant.checkpoints[0]
    folder = cache_dir or cache_folder()
    sources = (checkpoint, *checkpoint.mirrors)
    say: Callable[[str], None] = (lambda line: click.echo(line, err=True)) if progress else (lambda _: None)
    for source in sources:
        require_https(source.url, allow_localhost, UsageError)
    for source in sources:
        path = os.path.join(folder, source.file)
        if os.path.lexists(path) and not (os.path.isfile(path) and os.path.getsize(path) == 0):
            _require_same(source, path, say)
            return path
    failures: list[str] = []
    for source in sources:
        try:
            return _fetched(source, folder, progress, allow_localhost, say)
        except MissingRuntimeError as error:
            failures.append(error.message)
            if source is not sources[-1]:
                say(f"{error.message}; trying {sources[len(failures)].url}")
    raise MissingRuntimeError(
        "; ".join(failures),
        f"run the same command again, or download {checkpoint.url} by hand on another machine and pass "
        f"--weights {checkpoint.file}")


def _fetched(
    source: Checkpoint, folder: str, progress: bool, allow_localhost: bool, say: Callable[[str], None]
) -> str:
    path = os.path.join(folder, source.file)
    with cache_errors(path):
        os.makedirs(folder, exist_ok=True)
    with partial_file(path) as file:
        try:
            with _progress_bar(source.file, progress) as advance:
                announced = transfer(source.url, file, allow_localhost=allow_localhost, advance=advance)
            with cache_errors(path):
                file.stream.flush()
            digest = _checked(source, file.path, announced)
            with cache_errors(path):
                file.finish()
        except (BrokenTransferError, NoAnswerError) as error:
            _, kept = file.left_over(source.url)
            if not kept:
                file.drop()
            what = error.message if isinstance(error, NoAnswerError) else (
                f"the connection broke while {source.url} was downloaded: {error}")
            raise MissingRuntimeError(
                what + (f"; the next run goes on behind byte {kept}" if kept else "; nothing was kept")) from error
        except (MissingRuntimeError, UsageError):
            file.drop()
            raise
    _record(source, path, digest, bool(announced), say)
    return path


def _checked(source: Checkpoint, path: str, announced: str) -> str:
    """Return the digest of a file that has just come; raise MissingRuntimeError unless it is what is expected."""
    try:
        require_weights(path)
    except BadInputError as error:
        raise MissingRuntimeError(f"what came from {source.url} {error.message}; nothing was kept") from error
    digest = sha256_of_file(path)
    for expected, whose in ((source.sha256, "published"), (announced, "announced by the server")):
        if not digest.startswith(expected):
            raise MissingRuntimeError(
                f"what came from {source.url} has the SHA-256 {digest}, {expected} is {whose}; nothing was kept")
    return digest


def _require_same(source: Checkpoint, path: str, say: Callable[[str], None]) -> None:
    """Raise BadInputError unless the file in the cache is the one that was downloaded; record it if nothing is."""
    again = f"remove {path} and run the same command again"
    require_file(path, "weights file in the cache", again)
    if os.path.getsize(path) > MOST_BYTES:
        raise BadInputError(f"weights file {path} has {os.path.getsize(path)} bytes, at most {MOST_BYTES} expected",
                            again)
    digest = sha256_of_file(path)
    recorded = ""
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path + _RECORD, encoding="ascii") as stream:
        found = re.match("[0-9a-f]{64}", stream.read(1024))
        recorded = found[0] if found else ""
    for expected, whose in ((source.sha256, "published"), (recorded, "recorded when it was downloaded")):
        if not digest.startswith(expected):
            raise BadInputError(f"weights file {path} has the SHA-256 {digest}, {expected} was {whose}", again)
    if not recorded:
        _record(source, path, digest, False, say)


def _record(source: Checkpoint, path: str, digest: str, announced: bool, say: Callable[[str], None]) -> None:
    if source.sha256:
        origin = f"as published: {source.sha256}"
    elif announced:
        origin = "as the publisher's server announced"
    else:
        origin = "recorded on first use, because its publisher gives none; later uses are compared with it"
    say(f"{source.file}: {os.path.getsize(path)} bytes, SHA-256 {digest}, {origin}")
    with contextlib.suppress(UsageError):  # the folder may be read-only
        write_files_atomically({path + _RECORD: f"{digest}  {source.file}\n".encode()})  # as sha256sum -c takes it


@contextlib.contextmanager
def _progress_bar(title: str, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with the number of bytes that are there and that are expected, 0 if unknown."""
    if not shown:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda there, total: bar.update(task, completed=there, total=total or None)
