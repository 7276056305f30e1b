"""Jobs: rows of commands that outlive the connection.

`steps.run_job` runs one in a process of its own, which holds the folder's lock. The lock ends with that process and its
commands, however they end.
"""
import contextlib
import fcntl
import os
import shutil
import time
from typing import List, Optional

from edgenext_deploy.remote.link.far_side.folder import Folder, describe, lock, names_in, read_json, write_json
from edgenext_deploy.remote.link.far_side.steps import POLL_S, RESERVE, RESERVED_BYTES, run_job
from edgenext_deploy.remote.link.far_side.wire import CHUNK, GONE_S, Json, RefusedError, Wire

KEPT_JOBS = 30
# How often a workstation that follows a job is asked whether it is there.
ASKED_S = 15.0


def state_of(folder: Folder, name: str) -> Json:
    """Return the state of a job: ``running``, ``ended``, ``died`` or ``none``, with its record."""
    state = read_json(folder.at("jobs", name, "state.json"))
    if state is None:
        return {"state": "none"}
    if state["state"] == "running" and not _is_locked(folder.at("jobs", name, "alive")):
        # It may have ended between the two.
        state = read_json(folder.at("jobs", name, "state.json")) or state
        if state["state"] == "running":
            state["state"] = "died"
    return state


def _is_locked(path: str) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def start(wire: Wire, folder: Folder, job: Json, wait: bool, again: bool) -> Json:
    """Start a job unless it runs, or has been done already; wait for others that have the lock."""
    name = job["id"]
    told: Optional[Json] = None
    while True:
        state = state_of(folder, name)
        if state["state"] == "running" or (not again and _is_done(folder, job, state)):
            return state
        handle = folder.take_lock({"who": job["who"], "title": job["title"], "since": time.time()})
        if handle is not None:
            break
        holder = folder.holder()
        if not wait:
            raise RefusedError("busy", describe(holder))
        if holder != told:
            wire.send(busy=describe(holder))
            told = holder
        if wire.waiting(4 * POLL_S):
            raise EOFError  # nothing is asked meanwhile: the connection has ended
    with contextlib.ExitStack() as held:  # a lock that stayed here after a failure would keep this connection out too
        held.callback(os.close, handle)
        _begin(wire, folder, job, handle, held)
    return state_of(folder, name)


def _begin(wire: Wire, folder: Folder, job: Json, handle: int, held: contextlib.ExitStack) -> None:
    """Make a job's folder, and its process, which inherits the lock."""
    path = folder.at("jobs", job["id"])
    shutil.rmtree(path, ignore_errors=True)
    _forget_old_jobs(folder)
    folder.make("jobs", job["id"], "out")
    alive = os.open(os.path.join(path, "alive"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held.callback(os.close, alive)
    lock(alive)
    for stream in ("output", "log"):
        open(os.path.join(path, stream), "wb").close()
    with open(os.path.join(path, RESERVE), "wb") as reserve:
        reserve.write(bytes(RESERVED_BYTES))
    # Not the steps: a camera's address, or a token, may be among their words.
    write_json(os.path.join(path, "job.json"), {key: job[key] for key in ("id", "title", "who")})
    write_json(os.path.join(path, "state.json"), {"state": "running", "started": time.time(), "steps": []})
    leash = os.pipe()
    if os.fork() == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                wire.close()
                os.close(leash[1])
                run_job(folder, job, [handle, alive], leash[0])
        finally:
            os._exit(0)
    os.wait()
    os.close(leash[0])
    if not job.get("attached"):
        os.close(leash[1])  # else it is closed when this process ends


def _is_done(folder: Folder, job: Json, state: Json) -> bool:
    return state["state"] == "ended" and state.get("code") == 0 and read_json(
        folder.at("jobs", job["id"], "job.json")) is not None and all(
            os.path.exists(folder.at(path)) for path in job.get("makes", ()))


def _forget_old_jobs(folder: Folder) -> None:
    there = folder.make("jobs")
    names = sorted(os.listdir(there), key=lambda name: os.lstat(os.path.join(there, name)).st_mtime)
    for name in names[:-KEPT_JOBS]:
        shutil.rmtree(os.path.join(there, name), ignore_errors=True)


def follow(wire: Wire, folder: Folder, name: str, output: int, log: int) -> Json:
    """Send what a job writes, from these offsets on, and its steps, until it ends; return its last state.

    EOFError where the workstation says nothing any more. A connection whose other end is gone may stay open for hours,
    and with it a job that ends with the connection.
    """
    job = folder.at("jobs", name)
    offsets = {"output": output, "log": log}
    shown: Optional[Json] = None
    heard, asked = time.monotonic(), False
    while True:
        state = state_of(folder, name)
        if state != shown:
            wire.send(state=state)
            shown = state
        moved = False
        for stream in offsets:
            try:
                with open(os.path.join(job, stream), "rb") as source:
                    source.seek(offsets[stream])
                    data = source.read(CHUNK)
            except OSError:
                data = b""
            if data:
                wire.send(stream=stream, text=data.decode("latin-1"))
                offsets[stream] += len(data)
                moved = True
        if state["state"] != "running" and not moved:
            return state
        if wire.waiting(0 if moved else 2 * POLL_S):
            if wire.request().get("do") == "end":
                stop(folder, name)
            heard, asked = time.monotonic(), False
        elif not asked and time.monotonic() - heard > ASKED_S:
            wire.send(there=True)
            asked = True
        elif time.monotonic() - heard > ASKED_S + GONE_S:
            raise EOFError


def stop(folder: Folder, name: str) -> None:
    """Have a job end early; one that has not begun, or whose folder is gone, needs no word."""
    with contextlib.suppress(FileNotFoundError):
        open(folder.at("jobs", name, "stop"), "w").close()


def jobs(folder: Folder) -> List[Json]:
    """Return the jobs that are known, the oldest first."""
    found = []
    there = folder.at("jobs")
    for name in names_in(there):
        job = read_json(os.path.join(there, name, "job.json"))
        if job is not None:
            found.append(dict(state_of(folder, name), id=name, title=job["title"], who=job["who"]))
    return sorted(found, key=lambda job: job.get("started", 0))


def made_by(folder: Folder, name: str) -> List[str]:
    """Return the files that a job left in its folder ``out``, relative to that."""
    out = folder.at("jobs", name, "out")
    return sorted(os.path.relpath(os.path.join(base, file), out) for base, _, files in os.walk(out) for file in files)
