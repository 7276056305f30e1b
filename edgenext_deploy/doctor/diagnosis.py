"""All checks in their order, and whether inference is possible."""
from typing import Callable, Tuple

from edgenext_deploy.doctor import board_checks, gpu_checks, python_checks, workstation_checks
from edgenext_deploy.doctor.findings import Findings, gather
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.record import Check, Diagnosis, Route

_Function = Callable[[Machine, Findings], Check]
_FIRST: Tuple[_Function, ...] = (
    python_checks.check_python, python_checks.check_venv, python_checks.check_pip, python_checks.check_numpy,
    python_checks.check_onnxruntime, python_checks.check_opencv, gpu_checks.check_jetpack, gpu_checks.check_driver,
    gpu_checks.check_cuda, gpu_checks.check_tensorrt, gpu_checks.check_pycuda, board_checks.check_memory,
    board_checks.check_disk,
)
_JETSON: Tuple[_Function, ...] = (board_checks.check_power_mode, board_checks.check_clocks)
_LAST: Tuple[_Function, ...] = (board_checks.check_cameras, board_checks.check_video_group)


def diagnose(machine: Machine) -> Diagnosis:
    """Examine a machine; takes as long as the slowest import, at most some multiples of its timeout."""
    findings = gather(machine)
    functions = _FIRST + (_JETSON if findings.jetson else ()) + _LAST
    checks = (*(function(machine, findings) for function in functions),
              *workstation_checks.check_workstation(machine, findings))
    status = {check.name: check for check in checks}
    cpu = (("numpy", findings.numpy.imported), ("onnxruntime", _runs_on_cpu(findings)))
    devices = findings.pycuda.facts.get("devices")
    gpu = (("numpy", findings.numpy.imported), ("driver", findings.has_gpu),
           ("tensorrt", findings.tensorrt.imported and status["tensorrt"].status != "problem"),
           ("pycuda", findings.pycuda.imported and isinstance(devices, int) and devices > 0))
    return Diagnosis(checks, (_route("onnxruntime", cpu), _route("tensorrt", gpu)),
                     workstation_checks.export_route(findings))


def _runs_on_cpu(findings: Findings) -> bool:
    library = findings.onnxruntime
    return library.imported and "CPUExecutionProvider" in (library.facts.get("providers") or [])


def _route(name: str, needs: Tuple[Tuple[str, bool], ...]) -> Route:
    missing = tuple(what for what, works in needs if not works)
    return Route(name, not missing, missing)
