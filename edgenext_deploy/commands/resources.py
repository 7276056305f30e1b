"""A system that gives no more of something: no fault of ours, and one line that says what ran out."""
import errno
import os
import resource
import threading
from typing import Optional

from edgenext_deploy.errors import EdgeNextError, MissingRuntimeError, UsageError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_SYSTEM = {
    errno.ENOMEM: "memory", errno.EMFILE: "open files", errno.ENFILE: "open files",
    errno.EAGAIN: "processes or threads"}
# OpenBLAS ends the process where it does not get these for itself and for each of its threads.
_LEAST_BYTES = 128 << 20
_THREAD_BYTES = 32 << 20
# TensorRT-RTX built an engine with 10 processes and threads on two cores, and not with 6.
_LEAST_THREADS = 8
# Systems allow some 10,000 and more. Below this it is tried out.
_FEW_PROCESSES = 4096
_FIX = "free some, or raise the limit that `ulimit -a` shows"


def out_of_resources(error: BaseException) -> Optional[EdgeNextError]:
    """Return what to report in place of an exception if the system refused memory, disk space or the like.

    A compiled library that cannot be loaded is refused memory more often than it is broken; its own message is kept.
    """
    if isinstance(error, OSError) and error.errno in _DISK:
        return UsageError("cannot write the output: {}".format(error.strerror),
                          "free some space, raise the limit of `ulimit -f`, or write to another folder")
    if isinstance(error, FileNotFoundError) and "usable temporary directory" in str(error):  # of tempfile
        return UsageError("no folder for temporary files can be written", "name one that can: export TMPDIR=FOLDER")
    if isinstance(error, MemoryError):
        return _missing("memory", error)
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return _missing(_SYSTEM[error.errno], error)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return _missing("threads", error)
    # Python names the module. Who raises it again, as numpy does, is not ours.
    if isinstance(error, ImportError) and not (error.name or "").startswith("edgenext_deploy"):
        return MissingRuntimeError("a library cannot be loaded: {}".format(" ".join(str(error).split())[:300]),
                                   "install it again; if memory is limited, raise the limit (ulimit -v)")
    return None


def _missing(what: str, error: BaseException) -> MissingRuntimeError:
    return MissingRuntimeError("the system gives no more {}{}".format(what, ": {}".format(error) if str(error) else ""),
                               _FIX)


def require_address_space(purpose: str, least_bytes: int) -> None:
    """Raise MissingRuntimeError if a limit leaves less than a native library needs, which would abort the process.

    Args:
        purpose: what needs it, as the subject of a sentence.
        least_bytes: of address space (``ulimit -v``).
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < least_bytes:
        raise MissingRuntimeError("{} needs at least {} MiB of address space, the limit is {} MiB".format(
            purpose, least_bytes >> 20, limit >> 20), "raise the limit: ulimit -v unlimited")


def require_resources() -> None:
    """Raise MissingRuntimeError unless there is what native libraries take without asking: address space and threads.

    Where they cannot start their threads, OpenBLAS sends this process an interrupt, and TensorRT reports an error of
    the graph.
    """
    require_address_space("a command", _LEAST_BYTES + _THREAD_BYTES * (os.cpu_count() or 1))
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # Not always: each thread that has been costs 64 MB of address space.
    if limit == resource.RLIM_INFINITY or limit >= _FEW_PROCESSES:
        return
    count = _LEAST_THREADS + 2 * (os.cpu_count() or 1)
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, daemon=True) for _ in range(count)]
    started = 0
    try:
        for thread in threads:
            thread.start()
            started += 1
    except RuntimeError as error:
        raise MissingRuntimeError("a command needs {} processes and threads, and the system gives {}".format(
            count + 1, started + 1), "raise the limit: ulimit -u {}".format(_FEW_PROCESSES)) from error
    finally:
        done.set()
        for thread in threads[:started]:
            thread.join()
