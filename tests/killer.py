"""A process that kills itself at a chosen call that changes the disk.

`PROGRAM` is for a `sitecustomize.py`, which Python imports before anything else; `environment` says when to die.
"""
import os

from paths import ROOT

# Only the process that the test starts counts, and not its children.
PROGRAM = """
import builtins, os, signal

last, after, folder = int(os.environ["KILL_AT"]), os.environ["KILL_AFTER"] == "1", os.environ["KILL_IN"]
names = os.environ["KILL_CALLS"].split()
mine, calls = os.environ["KILL_PARENT"] == str(os.getppid()), 0

def changes(name, arguments):
    if name == "open":
        return arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(arguments[1], int) else (
            set("wax+") & set(arguments[1]))
    return True

def watched(module, name):
    real = getattr(module, name)

    def call(*arguments, **options):
        global calls
        # A file number has no name; the few that fsync gets are all of interest.
        place = arguments[0] if arguments else ""
        here = isinstance(place, int) or str(place).startswith(folder)
        counts = here and (len(arguments) < 2 and name != "open" or changes(name, (*arguments, "r")))
        calls += bool(counts)
        number = calls  # another call may follow within this one
        if counts and number == last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return real(*arguments, **options)
        finally:
            if counts and number == last and after:
                os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, call)

if mine:
    for name in names:
        watched(os, name)
    if "open" in names:
        watched(builtins, "open")
"""
CALLS = ("open", "fsync", "chmod", "mkdir", "replace", "rename", "unlink", "rmdir")


def environment(folder, killer, number, after, calls=CALLS):
    """Return the environment of a process that dies.

    Args:
        folder: only what happens below it counts.
        killer: folder for the file that Python imports first.
        number: of the call to die at, from 1; 0 for never.
        after: die just after it, not just before.
        calls: names of functions of `os` that count; `open` is also the built-in one.
    """
    os.makedirs(str(killer), exist_ok=True)
    with open(os.path.join(str(killer), "sitecustomize.py"), "w") as stream:
        stream.write(PROGRAM)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(killer), ROOT]), "KILL_AT": str(number),
            "KILL_AFTER": str(int(after)), "KILL_IN": str(folder), "KILL_PARENT": str(os.getpid()),
            "KILL_CALLS": " ".join(calls)}
