"""What runs in a child process: one library is imported and asked what it can do.

In a child, because a library that is broken for this processor kills the process that imports it. Each answer
is a line of JSON on stdout, written before the next step that might kill; later lines add to earlier ones.
"""
import importlib
import json
import os
import re
import resource
import sys
from typing import Any, Callable, Dict, NoReturn

from edgenext_deploy.machine.installed import find_installed


def main(name: str) -> NoReturn:
    """Run the probe of that name and leave the process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever a library prints must not get between the answers.
    answers = os.dup(1)
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        os.write(answers, (json.dumps(facts) + "\n").encode("ascii"))

    try:
        _PROBES[name](say)
    except Exception as error:
        say(error="{}: {}".format(type(error).__name__, " ".join(str(error).split())[:300]))
    # Not sys.exit: some libraries crash while the interpreter shuts down, after all is said.
    sys.stdout.flush()
    os._exit(0)


def _installed(say: Callable[..., None], module: str) -> bool:
    """Say whether a module can be found, and which version its installation claims, without importing it."""
    found = find_installed(module)
    if found is None:
        say(installed=False)
        return False
    say(installed=True, origin=found.origin, version=found.version)
    return True


def _numpy(say: Callable[..., None]) -> None:
    if _installed(say, "numpy"):
        import numpy as np

        # OpenBLAS chooses its kernels when it is loaded, and they have to run here.
        total = float((np.ones((16, 16), np.float32) @ np.ones((16, 16), np.float32)).sum())
        say(imported=total == 4096.0, version=np.__version__)


def _pip(say: Callable[..., None]) -> None:
    if _installed(say, "pip"):
        say(imported=True, version=importlib.import_module("pip").__version__)


def _onnxruntime(say: Callable[..., None]) -> None:
    if _installed(say, "onnxruntime"):
        library = importlib.import_module("onnxruntime")
        say(imported=True, version=library.__version__, providers=list(library.get_available_providers()))


def _opencv(say: Callable[..., None]) -> None:
    if _installed(say, "cv2"):
        library = importlib.import_module("cv2")
        match = re.search(r"GStreamer:\s*(YES|NO)", library.getBuildInformation())
        say(imported=True, version=library.__version__, gstreamer=match.group(1) == "YES" if match else None)


def _versioned(module: str) -> Callable[[Callable[..., None]], None]:
    """Return the probe of a library that says its version and nothing else."""
    def probe(say: Callable[..., None]) -> None:
        if _installed(say, module):
            say(imported=True, version=importlib.import_module(module).__version__.lstrip("v"))

    return probe


def _pycuda(say: Callable[..., None]) -> None:
    if _installed(say, "pycuda"):
        say(version=importlib.import_module("pycuda").VERSION_TEXT)
        driver = importlib.import_module("pycuda.driver")
        say(imported=True)
        driver.init()
        say(devices=driver.Device.count())


def _environment(say: Callable[..., None]) -> None:
    from edgenext_deploy.machine.environment import present_environment

    say(**present_environment()._asdict())


_PROBES: Dict[str, Callable[[Callable[..., None]], None]] = {
    "numpy": _numpy, "pip": _pip, "onnxruntime": _onnxruntime, "opencv": _opencv, "tensorrt": _versioned("tensorrt"),
    "pycuda": _pycuda, "environment": _environment,
    **{name: _versioned(name) for name in ("torch", "onnx", "onnxsim", "safetensors", "tensorrt_rtx")},
}


if __name__ == "__main__":
    main(sys.argv[1])
