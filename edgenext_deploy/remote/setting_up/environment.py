"""The job that makes a board's virtual environment, and the launchers in front of it."""
import json
import os
import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from edgenext_deploy.commands.console import MODULES
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.files import sha256_of_bytes, sha256_of_file
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.setting_up.pins import pins_for, pycuda_for, requirements
from edgenext_deploy.remote.setting_up.wheels import fetched_wheels, own_wheel
from edgenext_deploy.version import __version__

# A change to the steps for the packages makes them again.
_LAYOUT = 2
_LAUNCHER = """#!/bin/sh
# Made by edgenext-remote setup. sudo and services drop these variables, so they are set here.
{variables}
exec {folder}/venvs/{key}/bin/"${{0##*/}}" "$@"
"""
# Environments of our code; people with other versions of it may use the same board.
_KEPT = 4
# What JetPack leaves out of the paths; docs/jetson.md has the reasons.
_VARIABLES = """export EDGENEXT_CACHE={folder}/cache PIP_CACHE_DIR={folder}/cache/pip
if [ -d /usr/local/cuda ]; then
    export PATH=/usr/local/cuda/bin:"$PATH" CPATH=/usr/local/cuda/include LIBRARY_PATH=/usr/local/cuda/lib64
fi"""
_CORETYPE = "\nexport OPENBLAS_CORETYPE=ARMV8"


class Keys(NamedTuple):
    """Names of the two folders that a board's environment consists of.

    A changed line of our code gives another `code`, which takes seconds to make. The packages of others stay: they are
    large, and pycuda takes minutes to compile.

    Attributes:
        packages: of a virtual environment with other people's packages: other releases or another Python give another.
        code: of a virtual environment with this version of our code, which finds those packages.
    """

    packages: str
    code: str


class Environment(NamedTuple):
    """What a board needs for the code that runs here.

    Attributes:
        keys: of its folders.
        files: path below the folder there, path here and digest of what has to be copied first; pip is the first and
            our own wheel the last.
        offline: all is copied; pip on the board fetches nothing.
    """

    keys: Keys
    files: Tuple[Tuple[str, str, str], ...]
    offline: bool


def keys_for(hello: Dict[str, Any]) -> Keys:
    """Return the keys of the environment that a board needs.

    Raises:
        IncompatibleError: nothing is known about the Python there.
    """
    python: Sequence[int] = hello["python"]
    pins = pins_for(python)
    if pins is None:
        raise IncompatibleError("nothing is known to install for Python {}.{}".format(python[0], python[1]),
                                "name another Python of the board with --python")
    made_of = [str(_LAYOUT), *pins, repr(pycuda_for(python)), hello["executable"]]
    packages = "py{}.{}-{}".format(python[0], python[1], sha256_of_bytes("\n".join(made_of).encode("utf-8"))[:12])
    return Keys(packages, "{}-{}".format(packages, sha256_of_file(own_wheel())[:12]))


def environment_for(hello: Dict[str, Any], offline: bool) -> Environment:
    """Return the environment that a board needs; wheels are fetched here.

    Args:
        hello: what the far side says at its start.
        offline: the board fetches nothing.

    Raises:
        IncompatibleError: nothing is known about the Python there.
        MissingRuntimeError: wheels could not be fetched.
    """
    keys = keys_for(hello)
    paths = [own_wheel()]
    if keys.packages not in hello["packages"]:
        # pip comes from here in any case: JetPack's is too old for the wheels of its own processor.
        pins = pins_for(hello["python"]) or ()
        paths = [*fetched_wheels(hello["python"], hello["machine"], pins if offline else pins[:1]), *paths]
    files = []
    for path in paths:
        digest = sha256_of_file(path)
        files.append(("wheels/{}/{}".format(digest[:16], os.path.basename(path)), path, digest))
    return Environment(keys, tuple(files), offline)


def setup_job(hello: Dict[str, Any], environment: Environment, with_pycuda: bool) -> Job:
    """Return the job that makes an environment.

    Args:
        hello: what the far side says at its start.
        environment: what `environment_for` returned; its files are there.
        with_pycuda: compile pycuda too.
    """
    keys = environment.keys
    steps = [] if keys.packages in hello["packages"] else _package_steps(hello, environment, with_pycuda)
    return Job("setup-" + keys.code, "set up the environment {}".format(keys.code),
               [*steps, *_code_steps(hello, environment)],
               makes=(_ready("packages", keys.packages), _ready("venvs", keys.code)))


def _package_steps(hello: Dict[str, Any], environment: Environment, with_pycuda: bool) -> List[Dict[str, Any]]:
    """Return the steps for other people's packages; pip takes them only with the digests that are known here."""
    folder, key, offline = hello["folder"], environment.keys.packages, environment.offline
    wheels = [os.path.join(folder, path) for path, _, _ in environment.files]
    there = "packages/" + key
    python = os.path.join(folder, there, "bin", "python")
    index = ["--no-index"] if offline else []
    steps: List[Dict[str, Any]] = [
        {"title": "environment", "remove": [there], "run": [
            hello["executable"], "-m", "venv", "--system-site-packages", "--without-pip",
            os.path.join(folder, there)]},
        {"title": "packages", "env": _pip_variables(hello), "write": {
            there + "/requirements.txt": requirements(pins_for(hello["python"]) or ())}, "run": [
            python, wheels[0] + "/pip", *_install(os.path.join(folder, there)), *index,
            *[word for wheel in wheels for word in ("--find-links", os.path.dirname(wheel))]]}]
    if with_pycuda:
        steps += _pycuda_steps(hello, environment.keys)
    steps.append({"title": "packages ready", "write": {_ready("packages", key): json.dumps({"made": time.time()})}})
    # Somebody else's job may have made them since this one was thought of.
    return [dict(step, unless=_ready("packages", key), undo=[there]) for step in steps]


def pycuda_job(hello: Dict[str, Any], keys: Keys) -> Job:
    """Return the job that tries once more to compile pycuda, in an environment that is ready."""
    return Job("pycuda-" + keys.packages, "compile pycuda", _pycuda_steps(hello, keys), again=True)


def _pycuda_steps(hello: Dict[str, Any], keys: Keys) -> List[Dict[str, Any]]:
    """Return the steps that compile pycuda; without it all but plans runs, so that each of them may fail."""
    folder, there = hello["folder"], "packages/" + keys.packages
    cuda = dict(_pip_variables(hello), PATH="/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin",
                CPATH="/usr/local/cuda/include", LIBRARY_PATH="/usr/local/cuda/lib64")
    if hello["machine"] == "aarch64":
        cuda["OPENBLAS_CORETYPE"] = "ARMV8"
    steps = []
    for title, pins in pycuda_for(hello["python"]):
        place = "{}/{}".format(there, title.split(",")[0].replace(" ", "-"))
        steps.append({"title": title, "optional": True, "env": cuda, "write": {
            place + "/requirements.txt": requirements(pins)}, "run": [
            os.path.join(folder, there, "bin", "python"), "-m", "pip", *_install(os.path.join(folder, place)),
            "--no-build-isolation"]})
    return steps


def _pip_variables(hello: Dict[str, Any]) -> Dict[str, str]:
    return {"PIP_CACHE_DIR": os.path.join(hello["folder"], "cache", "pip"), "PYTHONNOUSERSITE": "1"}


def _code_steps(hello: Dict[str, Any], environment: Environment) -> List[Dict[str, Any]]:
    """Return the steps for our own code, in front of the packages."""
    folder, keys = hello["folder"], environment.keys
    there = "venvs/" + keys.code
    site = "lib/python{}.{}/site-packages".format(*hello["python"][:2])
    wheel, _, digest = environment.files[-1]
    text = _launcher(hello, keys.code)
    return [
        {"title": "our environment", "remove": [there], "run": [
            hello["executable"], "-m", "venv", "--system-site-packages", "--without-pip",
            os.path.join(folder, there)]},
        {"title": "our code", "write": {
            "{}/{}/packages.pth".format(there, site): "{}/packages/{}/{}\n".format(folder, keys.packages, site),
            there + "/requirements.txt": "edgenext-deploy=={} --hash=sha256:{}\n".format(__version__, digest)},
         # Not compiled: that takes longer than all the rest, and Python does it for the modules that it imports.
         "run": [os.path.join(folder, there, "bin", "python"), "-m", "pip", *_install(os.path.join(folder, there)),
                 "--no-index", "--no-compile", "--find-links", os.path.join(folder, os.path.dirname(wheel))]},
        {"title": "launchers", "mode": 0o700, "write": {there + "/launch/launch": text},
         "link": dict({"{}/launch/{}".format(there, name): "launch" for name in ("python", *sorted(MODULES))},
                      bin=there + "/launch")},
        {"title": "ready", "write": {_ready("venvs", keys.code): json.dumps({"made": time.time()})},
         "tidy": {"environments": _KEPT, "made": keys.code,
                  "wheels": [path.split("/")[1] for path, _, _ in environment.files]}}]


def _install(place: str) -> List[str]:
    """Return the words behind ``pip`` that install what a folder's requirements.txt says, whatever the system has."""
    return ["install", "--require-hashes", "--no-deps", "--ignore-installed", "--disable-pip-version-check",
            "--no-warn-script-location", "-q", "-r", os.path.join(place, "requirements.txt")]


def _ready(kind: str, key: str) -> str:
    return "{}/{}/ready.json".format(kind, key)


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
