"""The process of a job: it does one step after the other, and writes down how each ended."""
import contextlib
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from typing import IO, List, Optional

from edgenext_deploy.remote.link.far_side.folder import Folder, write_file, write_json
from edgenext_deploy.remote.link.far_side.wire import Json, RefusedError

POLL_S = 0.05
PATIENCE_S = 5.0  # between SIGINT and SIGKILL
KEPT_WHEELS_S = 86400
# Kept free in a job's folder, so that its end can be written down on a full disk.
RESERVE = "reserve"
RESERVED_BYTES = 1 << 16


def run_job(folder: Folder, job: Json, handles: List[int], leash: int) -> None:
    """Run a job's steps, in the process of its own that `start` made."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN: the commands would inherit that.
        signal.signal(number, lambda *_: None)
    path = folder.at("jobs", job["id"])
    state: Json = {"state": "running", "started": time.time(), "steps": []}
    code = 1
    try:
        with open(os.path.join(path, "output"), "ab", 0) as output, open(os.path.join(path, "log"), "ab", 0) as log:
            for step in job["steps"]:
                began = time.monotonic()
                state["steps"].append({"title": step["title"], "seconds": None})
                _write_state(path, state)
                try:
                    found = _run_step(folder, step, path, output, log, handles, leash if job.get("attached") else None)
                except (OSError, RefusedError) as error:
                    log.write("{}: {}\n".format(step["title"], error).encode("utf-8", "replace"))
                    found = 2
                state["steps"][-1].update(seconds=time.monotonic() - began, code=found)
                if found and not step.get("optional"):
                    code = found
                    state["free"] = shutil.disk_usage(path).free
                    for name in step.get("undo", ()):
                        shutil.rmtree(folder.at(name), ignore_errors=True)
                    break
            else:
                code = 0
    finally:
        _write_state(path, dict(state, state="ended", code=code, ended=time.time()))


def _write_state(path: str, state: Json) -> None:
    """Write the state; on a full disk, in the place of what was reserved."""
    for attempt in range(2):
        try:
            write_json(os.path.join(path, "state.json"), state)
            return
        except OSError:
            if attempt:
                raise
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(path, RESERVE))


def _run_step(folder: Folder, step: Json, path: str, output: IO[bytes], log: IO[bytes], handles: List[int],
              leash: Optional[int]) -> int:
    if "unless" in step and os.path.exists(folder.at(step["unless"])):
        return 0
    for name, text in step.get("write", {}).items():
        folder.make(os.path.dirname(name))
        write_file(folder.at(name), text.encode("utf-8"), step.get("mode", 0o600))
    for name, target in step.get("link", {}).items():
        with_new_name = folder.at(name + ".new")
        if os.path.lexists(with_new_name):
            os.unlink(with_new_name)
        os.symlink(target, with_new_name)
        os.replace(with_new_name, folder.at(name))
    for name in step.get("remove", ()):
        shutil.rmtree(folder.at(name), ignore_errors=True)
    if "tidy" in step:
        _tidy(folder, **step["tidy"])
    if "run" not in step:
        return 0
    try:
        process = subprocess.Popen(step["run"], stdin=subprocess.PIPE, stdout=output, stderr=log, cwd=path,
                                   env=dict(os.environ, **step.get("env", {})), pass_fds=handles,
                                   start_new_session=True)
    except OSError as error:
        log.write("cannot start {}: {}\n".format(step["run"][0], error.strerror).encode("utf-8", "replace"))
        return 6
    given = step.get("input", "").encode("utf-8", "surrogateescape")
    threading.Thread(target=_feed, args=(process.stdin, given), daemon=True).start()
    deadline = None
    while process.poll() is None:
        # Without its folder nobody can follow it any more.
        if deadline is None and (os.path.exists(os.path.join(path, "stop")) or _hung_up(leash) or not os.path.isdir(
                path)):
            signal_group(process, signal.SIGINT)
            deadline = time.monotonic() + PATIENCE_S
        elif deadline is not None and time.monotonic() > deadline:
            signal_group(process, signal.SIGKILL)
        time.sleep(POLL_S)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _tidy(folder: Folder, environments: int, made: str, wheels: List[str]) -> None:
    """Keep the newest environments, the packages below them, and wheels that are new or named."""
    # The one just made is the newest, though a board whose clock stands still while it is off may date it years back.
    venvs = sorted(folder.ready("venvs"), key=lambda name: name == made)[-environments:]
    kept = {"venvs": venvs, "packages": [name.rpartition("-")[0] for name in venvs], "wheels": wheels}
    for kind, names in kept.items():
        for name in os.listdir(folder.make(kind)):
            path = folder.at(kind, name)
            # Somebody else may have copied wheels, and waits for the lock.
            if name not in names and (kind != "wheels" or os.lstat(path).st_mtime < time.time() - KEPT_WHEELS_S):
                shutil.rmtree(path, ignore_errors=True)


def _feed(stream: IO[bytes], data: bytes) -> None:
    """Write what a command reads; more than a pipe holds waits for it."""
    with contextlib.suppress(OSError), stream:
        stream.write(data)


def _hung_up(leash: Optional[int]) -> bool:
    return leash is not None and bool(select.select([leash], [], [], 0)[0])


def signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, number)
