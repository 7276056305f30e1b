"""The wheels that a board gets: our own, made of what runs here, and those of others, fetched by pip."""
import base64
import glob
import hashlib
import io
import os
import shutil
import subprocess
import tempfile
import zipfile
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from edgenext_deploy.child_process import python_command
from edgenext_deploy.commands.console import MODULES
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError
from edgenext_deploy.files import cache_folder, sha256_of_bytes, sha256_of_file, shown, write_files_atomically
from edgenext_deploy.remote.setting_up.pins import digests_of, pins_for, platforms, requirements
from edgenext_deploy.version import __version__

_PACKAGE = "edgenext_deploy"
_DATE = (2020, 1, 1, 0, 0, 0)
_METADATA = "Metadata-Version: 2.1\nName: edgenext-deploy\nVersion: {}\nRequires-Python: >=3.6\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: edgenext-remote\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_DOWNLOAD_S = 900.0


def own_wheel() -> str:
    """Return the path of a wheel of the code that runs here; the same code always gives the same bytes.

    It is made without any build tool, from a checkout as from an installed package.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = {_PACKAGE + "/" + name: path for name, path in _files_of(root)}
    about = "{}-{}.dist-info/".format(_PACKAGE, __version__)
    commands = "".join("{} = {}:main\n".format(name, module) for name, module in sorted(MODULES.items()))
    texts = {about + "METADATA": _METADATA.format(__version__), about + "WHEEL": _WHEEL,
             about + "entry_points.txt": "[console_scripts]\n" + commands}
    record = []
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted({**files, **texts}):
            if name in texts:
                data = texts[name].encode("utf-8")
            else:
                with open(files[name], "rb") as stream:
                    data = stream.read()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
            record.append("{},sha256={},{}\n".format(_quoted(name), digest, len(data)))
            _add(archive, name, data)
        _add(archive, about + "RECORD", "".join([*record, about + "RECORD,,\n"]).encode("utf-8"))
    data = content.getvalue()
    path = os.path.join(cache_folder(), "wheels", sha256_of_bytes(data)[:16],
                        "{}-{}-py3-none-any.whl".format(_PACKAGE, __version__))
    if not os.path.exists(path) or sha256_of_file(path) != sha256_of_bytes(data):
        write_files_atomically({path: data})
    return path


def fetched_wheels(python: Sequence[int], machine: str, pins: Sequence[str]) -> List[str]:
    """Return the paths of wheels for a Python on a processor; pip fetches what is not in the cache.

    Args:
        python: numbers of its version, such as ``[3, 6, 9]``.
        machine: the processor, ``aarch64`` or ``x86_64``.
        pins: ``NAME==RELEASE`` of each.

    Raises:
        MissingRuntimeError: there is no pip here, or it could not fetch them, or found other files than are known.
        IncompatibleError: nothing is known about that Python.
    """
    if pins_for(python) is None:
        raise IncompatibleError("no wheels are known for Python {}.{}".format(python[0], python[1]),
                                "name another Python of the board with --python")
    found = []
    for pin in pins:
        key = sha256_of_bytes("{} {}.{} {}".format(pin, python[0], python[1], machine).encode("utf-8"))[:16]
        found.append((pin, os.path.join(cache_folder(), "wheels", key)))
    needed = [pin for pin, folder in found if _known_wheel(pin, folder) is None]
    if needed:
        _fetch(python, machine, needed, dict(found))
    wheels = [_known_wheel(pin, folder) for pin, folder in found]
    return [wheel for wheel in wheels if wheel is not None]


def _known_wheel(pin: str, folder: str) -> Optional[str]:
    """Return the wheel in a folder of the cache; None unless it is one that is known by its digest."""
    known = digests_of(pin)
    return next((path for path in glob.glob(os.path.join(folder, "*.whl")) if sha256_of_file(path) in known), None)


def _fetch(python: Sequence[int], machine: str, pins: Sequence[str], folders: Dict[str, str]) -> None:
    words = ["download", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes",
             "--only-binary=:all:",
             "--implementation", "cp", "--python-version", ".".join(map(str, python[:3]))]
    for platform in platforms(python, machine):
        words += ["--platform", platform]
    os.makedirs(os.path.join(cache_folder(), "wheels"), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.join(cache_folder(), "wheels")) as folder:
        wanted = os.path.join(folder, "requirements.txt")
        write_files_atomically({wanted: requirements(pins).encode("ascii")})
        try:
            done = subprocess.run(python_command("pip", [*words, "-d", folder, "-r", wanted]), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_DOWNLOAD_S)
        except subprocess.TimeoutExpired as error:
            raise MissingRuntimeError("pip did not fetch the board's wheels within {:g} s".format(_DOWNLOAD_S),
                                      "check this machine's network, and run the same command again") from error
        if done.returncode != 0:
            raise MissingRuntimeError(
                "pip could not fetch the board's wheels: {}".format(
                    _last_error(done.stdout.decode("utf-8", "replace"))),
                "check this machine's network, and that `python -m pip --version` works")
        for path in glob.glob(os.path.join(folder, "*.whl")):
            (pin,) = [pin for pin in pins if sha256_of_file(path) in digests_of(pin)]
            os.makedirs(folders[pin], exist_ok=True)
            shutil.move(path, os.path.join(folders[pin], os.path.basename(path)))


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return shown((errors or lines or ["it said nothing"])[-1], 400)


def _files_of(root: str) -> Iterator[Tuple[str, str]]:
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith((".pyc", ".pyo")) and not name.startswith(".") and os.path.isfile(path):
                yield os.path.relpath(path, root).replace(os.sep, "/"), path


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    about = zipfile.ZipInfo(name, _DATE)
    about.compress_type = zipfile.ZIP_DEFLATED
    about.external_attr = 0o100644 << 16
    archive.writestr(about, data)


def _quoted(name: str) -> str:
    return '"{}"'.format(name) if "," in name else name
