"""Files: digests, and writes that are either complete or did not happen."""
import contextlib
import hashlib
import itertools
import os
import re
import stat
from typing import IO, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Union

from edgenext_deploy.errors import BadInputError, Fix, UsageError
from edgenext_deploy.folder_lock import locked_folder, try_lock
from edgenext_deploy.foreign_text import visible

_CHUNK_BYTES = 1 << 20
# What Linux follows too.
_MOST_LINKS = 40
# What tempfile puts behind the prefix.
_RANDOM = re.compile(r"[a-z0-9_]{8}\Z")
_MOST_VOUCHING_BYTES = 64 << 20
_LONGEST_PREFIX = 128
_MOST_COMPARED = 1000
# What a file gets: all of it, or its parts one after the other.
Content = Union[bytes, Iterable[bytes]]


def cache_folder() -> str:
    """Return where downloads and timing caches are kept: ``$EDGENEXT_CACHE``, else in the user's cache folder."""
    own = os.environ.get("EDGENEXT_CACHE")
    if own:
        return own
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "edgenext-deploy")


def sha256_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: str) -> str:
    """Return the SHA-256 of the file at `path` as 64 hexadecimal digits, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def shown(text: str, limit: int = 200) -> str:
    """Return `text` for a person to read: nothing in it can steer a terminal, and it is not long."""
    return visible(text if len(text) <= limit else text[:limit] + "…")


def require_file(path: str, what: str, fix: Fix) -> None:
    """Raise BadInputError unless `path` is a readable, regular file that is not empty."""
    name = shown(path, 600)
    try:
        status = os.stat(path)  # once: over a network each look takes its time
    except PermissionError as error:  # of a folder on the way
        raise _denied(what, path) from error
    except (OSError, ValueError) as error:
        raise BadInputError("{} not found: {}".format(what, name), fix) from error
    if not stat.S_ISREG(status.st_mode):
        raise BadInputError("{} is not a file: {}".format(what, name), fix)
    if not os.access(path, os.R_OK):
        raise _denied(what, path)
    if status.st_size == 0:
        raise BadInputError("{} is empty (0 bytes): {}".format(what, name), fix)


def _denied(what: str, path: str) -> BadInputError:
    import shlex  # on the way to the first answer nothing needs it

    return BadInputError("{} cannot be read (permission denied): {}".format(what, shown(path, 600)),
                         "see who may read it, and its folders: namei -l {}".format(shown(shlex.quote(path), 600)))


def read_file(path: str, what: str, fix: Fix, most_bytes: int) -> bytes:
    """Return the content of a regular file; a pipe or a device, even one put there meanwhile, is never read.

    Args:
        path: of the file.
        what: it should be, for an error, such as ``manifest``.
        fix: the command that gives a right one.
        most_bytes: a larger file is refused before it is read.

    Raises:
        BadInputError: missing, empty, unreadable, no regular file, too large, or written to meanwhile.
    """
    require_file(path, what, fix)
    name = shown(path, 600)
    try:
        with open_regular(path, what, fix) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > most_bytes:
                raise BadInputError("{}: {} bytes is too large for a {}, at most {} expected".format(
                    name, size, what, most_bytes), fix)
            # No more than that: Python takes the memory for what is asked for, not for what is there.
            content = stream.read(size + 1)
    except OSError as error:
        raise BadInputError("{} cannot be read: {}: {}".format(what, name, error.strerror or error), fix) from error
    if len(content) > size:
        raise BadInputError("{}: the {} grew while it was read".format(name, what), fix)
    return content


@contextlib.contextmanager
def open_regular(path: str, what: str, fix: Fix) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; raise BadInputError for anything else that has taken its place."""
    with open(path, "rb", opener=open_at_once) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise BadInputError("{} is not a file: {}".format(what, shown(path, 600)), fix)
        yield stream


def open_at_once(path: str, flags: int) -> int:
    """Open a file, as the ``opener`` of `open`; a pipe that took its place meanwhile does not hang the process."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def some_beside(path: str, wanted: Callable[[str], bool], most: int) -> List[str]:
    """Return files in the folder of a path that is not there, for a message: quoted for the shell, similar names first.

    Of more than a thousand such files, some thousand are compared.

    Args:
        path: of the file that was asked for.
        wanted: says whether the name of a file is of the kind that was asked for.
        most: number of them at most.
    """
    folder = os.path.dirname(path) or "."
    try:
        with os.scandir(folder) as entries:  # not all of 100,000: to compare one takes 50 us
            found = (entry.name for entry in entries if wanted(entry.name))
            names = sorted(itertools.islice(found, _MOST_COMPARED))
    except OSError:
        return []
    import difflib  # on the way to the first answer nothing needs them
    import shlex

    similar = difflib.get_close_matches(os.path.basename(path), names, most)
    names = similar + [name for name in names if name not in similar]
    return [shlex.quote(name if folder == "." else os.path.join(folder, name)) for name in names[:most]]


def find_beside(path: str, name_of: Callable[[str], str]) -> str:
    """Return the path of the file that lies next to `path`, or, where it is a link, next to what the link points to.

    Args:
        path: a file, such as an engine.
        name_of: returns the path of the other file, such as its manifest, for the path of the one.

    Returns:
        The first that exists on the way along the links; if none does, the one next to `path`.
    """
    link = path
    for _ in range(_MOST_LINKS):
        if os.path.lexists(name_of(link)):
            return name_of(link)
        if not os.path.islink(link):
            break
        link = os.path.join(os.path.dirname(link), os.readlink(link))
    return name_of(path)


def why_not_writable(folder: str) -> Optional[str]:
    """Return why files can plainly not be written in a folder, which need not exist yet; None if nothing is known.

    For what takes minutes before it writes. Nothing is created; what this misses, the writing itself finds.
    """
    existing = os.path.abspath(folder)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        return "{} is not a folder".format(existing)
    return None if os.access(existing, os.W_OK | os.X_OK) else "permission denied"


def require_writable(path: str, fix: str) -> None:
    """Raise UsageError if a file can plainly not be written; see `why_not_writable`."""
    if os.path.isdir(path):
        reason: Optional[str] = "there is a folder of that name"
    elif os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe is written to, its folder is not
        reason = None if os.access(path, os.W_OK) else "permission denied"
    else:
        reason = why_not_writable(os.path.dirname(os.path.abspath(path)))
    if reason is not None:
        raise UsageError("cannot write {}: {}".format(path, reason), fix)


@contextlib.contextmanager
def _as_usage_error(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            "cannot write {}: {}".format(path, error.strerror or error),
            "nothing was changed there; free some space, or write to another folder",
        ) from error


def write_files_atomically(files: Mapping[str, Content]) -> None:
    """Write several files so that a failure leaves every one of them as it was before.

    All contents go to temporary files in the target folders first and are flushed to disk; only when
    all of them are complete are they renamed, in the order given. Put the file that vouches for the
    others (the manifest) last. A device or a pipe (``/dev/stdout``) is written to, never renamed over.

    Two processes that write the same files do it one after the other. One that is killed between two renames leaves
    the rest under temporary names, with which a reader finishes (`settled`); the next writer removes others.

    Raises:
        UsageError: a folder cannot be written, the disk is full, or a folder has the name of a file.
    """
    for path in files:
        if os.path.isdir(path):
            raise UsageError("cannot write {}: there is a folder of that name".format(path),
                             "rename it, or write to another folder")
    streams = [path for path in files if os.path.exists(path) and not os.path.isfile(path)]
    temporary: Dict[str, str] = {}
    with contextlib.ExitStack() as held:
        try:
            for path, data in files.items():
                if path not in streams:
                    with _as_usage_error(path):
                        _write_temporary(path, data, temporary, held)
            for folder in sorted({_folder_of(path) for path in temporary}):
                held.enter_context(locked_folder(folder))
            for path, data in files.items():
                with _as_usage_error(path):
                    if path in streams:
                        with open(path, "wb") as stream:
                            stream.writelines(_parts(data))
                        continue
                    os.replace(temporary.pop(path), path)
                    # Or the disk may hold the second name before the first.
                    flush_folder(_folder_of(path))
                clear_left(path)
        finally:
            for name in temporary.values():
                with contextlib.suppress(OSError):
                    os.unlink(name)


@contextlib.contextmanager
def settled(path: str, digest: Callable[[], str]) -> Iterator[None]:
    """Hold back writers of a file's folder, and finish what a killed one began.

    For a reader that found two files that do not fit: another process may be between the two renames of
    `write_files_atomically`, or it was killed there. Then the second file is still there under its temporary name.

    Args:
        path: of the file that was to be renamed last: a manifest, or the sidecar of a plan.
        digest: returns the SHA-256 of the file that it vouches for, which stands in it; asked for only if something
            was left.
    """
    with locked_folder(_folder_of(path)):
        for left in _left_of(path):
            with contextlib.suppress(OSError), open(left, "rb") as stream:
                if digest().encode("ascii") in stream.read(_MOST_VOUCHING_BYTES):
                    os.replace(left, path)
                    flush_folder(_folder_of(path))
        yield


def _write_temporary(path: str, data: Content, temporary: Dict[str, str], held: contextlib.ExitStack) -> None:
    """Write the content of a file that is to be, and add its name to `temporary`."""
    import tempfile

    folder = _folder_of(path)
    os.makedirs(folder, exist_ok=True)
    with locked_folder(folder):
        handle, name = tempfile.mkstemp(prefix=_temporary_prefix(path), dir=folder)
        temporary[path] = name
        # Open and locked until it has its name, so that nobody takes it for one that was left.
        stream = held.enter_context(os.fdopen(handle, "wb"))
        try_lock(handle)
    with closed_on_error(stream):
        stream.writelines(_parts(data))
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(name, plain_mode())


@contextlib.contextmanager
def closed_on_error(stream: IO[bytes]) -> Iterator[None]:
    """Close a file that cannot be written: closing it later would write what is left, and raise another error."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            stream.close()
        raise


def _parts(data: Content) -> Iterable[bytes]:
    return [data] if isinstance(data, bytes) else data


def clear_left(path: str) -> None:
    """Remove the temporary files of `path` whose process was killed; the caller has locked the folder."""
    for left in _left_of(path):
        with contextlib.suppress(OSError):
            os.unlink(left)


def _left_of(path: str) -> List[str]:
    """Return the temporary files of `path` whose process was killed; the folder is locked."""
    folder, prefix = _folder_of(path), _temporary_prefix(path)
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix) and _RANDOM.match(name[len(prefix):])]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if _is_left(os.path.join(folder, name))]


def _is_left(name: str) -> bool:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(handle)
        return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and try_lock(handle)
    finally:
        os.close(handle)


def _temporary_prefix(path: str) -> str:
    name = os.path.basename(path)
    # With what comes before and behind it, a long one would be too long.
    return "." + (name if len(os.fsencode(name)) <= _LONGEST_PREFIX else sha256_of_bytes(os.fsencode(name))) + "."


def _folder_of(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def flush_folder(folder: str) -> None:
    """Have the names in a folder on the disk, where the file system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def plain_mode() -> int:
    """Return the permissions of a file that is simply opened; a temporary one is readable by its user only."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
