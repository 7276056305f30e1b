"""What the workstation can ask for."""
import errno
import os
import platform
import pwd
import shutil
import signal
import struct
import subprocess
import sys
import time
from typing import List

from edgenext_deploy.remote.link.far_side.copies import forget_old_copies, get, missing, put
from edgenext_deploy.remote.link.far_side.folder import Folder, describe
from edgenext_deploy.remote.link.far_side.jobs import follow, jobs, made_by, start, state_of, stop
from edgenext_deploy.remote.link.far_side.steps import POLL_S, signal_group
from edgenext_deploy.remote.link.far_side.wire import LONGEST_LINE, Json, RefusedError, Wire


def ask(wire: Wire, folder: Folder, argv: List[str], timeout_s: float) -> Json:
    """Run a short command; return its exit code and the beginning of what it wrote."""
    output = os.path.join(folder.make("incoming"), "ask.{}".format(os.getpid()))
    try:
        with open(output, "w+b") as stream:
            try:
                # Not in the home: Python would import from there.
                process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.DEVNULL,
                                           cwd=folder.path, start_new_session=True)
            except OSError as error:
                return {"code": 6, "output": error.strerror}
            deadline = time.monotonic() + timeout_s
            try:
                while process.poll() is None:
                    if time.monotonic() > deadline or wire.waiting(POLL_S):
                        signal_group(process, signal.SIGKILL)  # nothing is asked meanwhile: the connection has ended
                        process.wait()
            finally:  # the sign of life found no connection
                if process.poll() is None:
                    signal_group(process, signal.SIGKILL)
            stream.seek(0)
            return {"code": process.returncode, "output": stream.read(LONGEST_LINE // 8).decode("latin-1")}
    finally:
        os.unlink(output)


def remove(folder: Folder, who: Json) -> None:
    """Remove the folder, unless a job runs there."""
    if not os.path.isdir(folder.path):
        return
    handle = folder.take_lock(who)
    if handle is None:
        raise RefusedError("busy", describe(folder.holder()))
    shutil.rmtree(folder.path, ignore_errors=True)
    os.close(handle)
    if os.path.lexists(folder.path):
        raise RefusedError("usage", "could not remove all of {}".format(folder.path))


def answer(wire: Wire, folder: Folder, request: Json) -> Json:
    """Do what a request asks for; return the fields of its last event."""
    do = request.pop("do")
    if do == "missing":
        return {"missing": missing(wire, folder, **request)}
    if do == "put":
        put(wire, folder, **request)
    elif do == "get":
        get(wire, folder, **request)
    elif do == "start":
        return start(wire, folder, **request)
    elif do == "follow":
        return follow(wire, folder, **request)
    elif do == "stop":
        stop(folder, **request)
    elif do == "state":
        return state_of(folder, **request)
    elif do == "jobs":
        return {"jobs": jobs(folder)}
    elif do == "made":
        return {"made": made_by(folder, **request)}
    elif do == "ask":
        return ask(wire, folder, **request)
    elif do == "remove":
        remove(folder, **request)
    return {}


def model() -> str:
    """Return the device tree's model of this machine; nothing where it has no device tree."""
    try:
        with open("/proc/device-tree/model", "rb") as stream:
            return stream.read(200).rstrip(b"\0").decode("utf-8", "replace")
    except OSError:
        return ""


def hello(folder: Folder) -> Json:
    """Return what is known of this machine without asking any library."""
    existing = folder.path
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    packages = folder.ready("packages")
    return {"python": list(sys.version_info[:3]), "executable": sys.executable, "machine": platform.machine(),
            "system": platform.system(), "bits": 8 * struct.calcsize("P"), "folder": folder.path, "time": time.time(),
            "user": pwd.getpwuid(os.getuid()).pw_name, "free": shutil.disk_usage(existing).free,
            "ready": [name for name in folder.ready("venvs") if name.rpartition("-")[0] in packages],
            "packages": packages, "model": model(),
            "cuda": os.path.exists("/usr/local/cuda/bin/nvcc")}


def main(opening: Json) -> None:
    """Answer requests until the connection ends.

    Args:
        opening: the key ``folder``, and ``nonce``, which stands in the first answer.
    """
    wire = Wire()
    if sys.version_info < (3, 6):
        wire.send(hello=opening["nonce"], python=list(sys.version_info[:3]))
        return
    folder = Folder(opening["folder"])
    forget_old_copies(folder)
    wire.send(hello=opening["nonce"], **hello(folder))
    while True:
        try:
            request = wire.request()
            if request.get("do") in ("here", "end"):  # to a job that has ended meanwhile
                continue
            fields = answer(wire, folder, request)
            wire.send(done=True, **fields)
        except RefusedError as error:
            wire.send(error=error.kind, text=error.text)
        except (EOFError, BrokenPipeError):
            return
        except OSError as error:
            kind = "space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "usage"
            wire.send(error=kind, text="{}: {}".format(error.filename or folder.path, error.strerror))
        except Exception as error:  # the workstation should know, and not take it for a lost connection
            wire.send(error="bug", text="{}: {}".format(type(error).__name__, error))
