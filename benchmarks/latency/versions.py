"""What software a measurement ran on."""
from typing import Any, Dict, Sequence

from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.benchmarks.latency_report import Versions
from edgenext_deploy.machine.environment import present_environment
from edgenext_deploy.version import __version__

_LIBRARIES = ("onnxruntime", "tensorrt", "torch")


def collect(sessions: Sequence[Dict[str, Any]], host: Host) -> Versions:
    """Return the versions of what the sessions used, and of what lies below.

    Args:
        sessions: result of `Session.describe` of each session.
        host: this machine.
    """
    here = present_environment()
    used = {str(session.get("runtime")): str(session.get("version")) for session in sessions}
    libraries = {name: used.get(name) for name in _LIBRARIES}
    libraries["tensorrt"] = libraries["tensorrt"] or used.get("tensorrt_rtx") or here.tensorrt
    return Versions(toolkit=__version__, python=host.python, numpy=host.numpy, cuda=here.cuda,
                    cuda_driver=here.cuda_driver, driver=here.driver, l4t=here.l4t, jetpack=here.jetpack, **libraries)
