"""The job that makes a board's virtual environment, and the launchers in front of it."""
import json
import os
import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from edgenext_deploy.commands.console import MODULES
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.files import sha256_of_bytes, sha256_of_file
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.setting_up.pins import pins_for, pycuda_for
from edgenext_deploy.remote.setting_up.wheels import fetched_wheels, own_wheel

# A change to the steps makes every environment again.
_LAYOUT = 1
_LAUNCHER = """#!/bin/sh
# Made by edgenext-remote setup. sudo and services drop these variables, so they are set here.
{variables}
exec {folder}/venvs/{key}/bin/"${{0##*/}}" "$@"
"""
# What JetPack leaves out of the paths; docs/jetson.md has the reasons.
_VARIABLES = """export EDGENEXT_CACHE={folder}/cache PIP_CACHE_DIR={folder}/cache/pip
if [ -d /usr/local/cuda ]; then
    export PATH=/usr/local/cuda/bin:"$PATH" CPATH=/usr/local/cuda/include LIBRARY_PATH=/usr/local/cuda/lib64
fi"""
_CORETYPE = "\nexport OPENBLAS_CORETYPE=ARMV8"


class Environment(NamedTuple):
    """The environment that a board needs for the code that runs here.

    Attributes:
        key: of its folder: another code, another release or another Python gives another key.
        files: path below the folder there, path here and digest of what has to be copied first.
        pins: what pip on the board fetches itself; none where all is copied.
    """

    key: str
    files: Tuple[Tuple[str, str, str], ...]
    pins: Tuple[str, ...]


def key_for(hello: Dict[str, Any]) -> str:
    """Return the key of the environment that a board needs.

    Raises:
        IncompatibleError: nothing is known about the Python there.
    """
    python: Sequence[int] = hello["python"]
    pins = pins_for(python)
    if pins is None:
        raise IncompatibleError("nothing is known to install for Python {}.{}".format(python[0], python[1]),
                                "name another Python of the board with --python")
    made_of = [str(_LAYOUT), sha256_of_file(own_wheel()), *pins, hello["executable"]]
    return "py{}.{}-{}".format(python[0], python[1], sha256_of_bytes("\n".join(made_of).encode("utf-8"))[:12])


def environment_for(hello: Dict[str, Any], offline: bool) -> Environment:
    """Return the environment that a board needs; wheels are fetched here.

    Args:
        hello: what the far side says at its start.
        offline: the board fetches nothing.

    Raises:
        IncompatibleError: nothing is known about the Python there.
        MissingRuntimeError: wheels could not be fetched.
    """
    key = key_for(hello)
    pins = pins_for(hello["python"]) or ()
    # pip comes from here in any case: JetPack's is too old for the wheels of its own processor.
    wheels = fetched_wheels(hello["python"], hello["machine"], pins if offline else pins[:1])
    files = []
    for path in [*wheels, own_wheel()]:
        digest = sha256_of_file(path)
        files.append(("wheels/{}/{}".format(digest[:16], os.path.basename(path)), path, digest))
    return Environment(key, tuple(files), () if offline else pins[1:])


def setup_job(hello: Dict[str, Any], environment: Environment, with_pycuda: bool) -> Job:
    """Return the job that makes an environment.

    Args:
        hello: what the far side says at its start.
        environment: what `environment_for` returned; its files are there.
        with_pycuda: compile pycuda too.
    """
    folder, key = hello["folder"], environment.key
    wheels = [os.path.join(folder, path) for path, _, _ in environment.files]
    python = "{}/venvs/{}/bin/python".format(folder, key)
    quiet = ["--disable-pip-version-check", "--no-warn-script-location", "-q"]
    variables = {"PIP_CACHE_DIR": os.path.join(folder, "cache", "pip"), "PYTHONNOUSERSITE": "1"}
    steps: List[Dict[str, Any]] = [
        {"title": "environment", "remove": ["venvs/" + key], "run": [
            hello["executable"], "-m", "venv", "--system-site-packages", "--without-pip",
            os.path.join(folder, "venvs", key)]},
        {"title": "packages", "env": variables, "run": [
            python, wheels[0] + "/pip", "install", "--no-deps", *quiet, *([] if environment.pins else ["--no-index"]),
            *wheels, *environment.pins]}]
    if with_pycuda:
        *tools, pycuda = pycuda_for(hello["python"])
        cuda = dict(variables, PATH="/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin",
                    CPATH="/usr/local/cuda/include", LIBRARY_PATH="/usr/local/cuda/lib64")
        if hello["machine"] == "aarch64":
            cuda["OPENBLAS_CORETYPE"] = "ARMV8"
        steps += [{"title": "tools of pycuda", "optional": True, "env": cuda, "run": [
                      python, "-m", "pip", "install", *quiet, *tools]},
                  {"title": "pycuda, compiled there", "optional": True, "env": cuda, "run": [
                      python, "-m", "pip", "install", "--no-build-isolation", *quiet, pycuda]}]
    kept = [key, *[name for name in hello["ready"] if name != key][-1:]]
    text = _launcher(hello, key)
    own = "venvs/{}/launch/".format(key)
    steps.append({"title": "launchers", "mode": 0o700, "write": {own + "launch": text},
                  "link": dict({own + name: "launch" for name in ("python", *sorted(MODULES))},
                               bin="venvs/{}/launch".format(key)),
                  "keep": {"venvs": kept, "wheels": [path.split("/")[1] for path, _, _ in environment.files]}})
    steps.append({"title": "ready", "write": {"venvs/{}/ready.json".format(key): json.dumps(
        {"made": time.time(), "pins": environment.pins})}})
    return Job("setup-" + key, "set up the environment {}".format(key), steps,
               makes=("venvs/{}/ready.json".format(key),))


def launcher(key: str, command: str) -> str:
    """Return the path below the folder there of a command of an environment."""
    return "venvs/{}/launch/{}".format(key, command)


def _launcher(hello: Dict[str, Any], key: str) -> str:
    folder = _quoted(hello["folder"])
    variables = _VARIABLES.format(folder=folder)
    if hello["machine"] == "aarch64" and hello["python"][:2] == [3, 6]:
        variables += _CORETYPE
    return _LAUNCHER.format(variables=variables, folder=folder, key=key)


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "'\\''"))
