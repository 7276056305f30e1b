"""Checks of a workstation: whether networks can be exported here."""
from typing import Dict, List

from edgenext_deploy.doctor.findings import EXPORTS, Findings, Probe
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.python_checks import run_pip, unknown
from edgenext_deploy.doctor.record import NOTE, OK, PROBLEM, Check, Export
from edgenext_deploy.install import install_command
from edgenext_deploy.machine.versions import version_numbers

# Of what exports need, the oldest releases that setup.cfg allows.
OLDEST: Dict[str, str] = {"torch": "2.10", "onnx": "1.21", "onnxsim": "0.4.36", "safetensors": "0.4"}
_ONLY = "only edgenext-export needs it"
_RTX = ("not installed: exports are judged by tables of operators, and not built by NVIDIA's own builder as a trial")


def check_workstation(machine: Machine, findings: Findings) -> List[Check]:
    """Return a check for each library that only exports use; none on a Jetson or under an older Python."""
    checks = [_check(machine, name, probe) for name, probe in findings.workstation.items() if name in OLDEST]
    rtx = findings.workstation.get("tensorrt_rtx")
    if rtx is not None:
        checks.append(_check_rtx(rtx))
    return checks


def export_route(findings: Findings) -> Export:
    """Return whether exports are possible, and the command that makes them so."""
    if not findings.workstation:
        return Export(False, () if findings.jetson else ("Python 3.10 or newer",),
                      "export on a workstation with Python 3.10 or newer, and copy the .onnx and .json here")
    missing = tuple(name for name in EXPORTS if not _works(name, _probe(findings, name)))
    return Export(not missing, missing, install_command("export") if missing else None)


def _probe(findings: Findings, name: str) -> Probe:
    return findings.onnxruntime if name == "onnxruntime" else findings.workstation[name]


def _works(name: str, probe: Probe) -> bool:
    return probe.imported and not _too_old(name, probe)


def _too_old(name: str, probe: Probe) -> bool:
    return name in OLDEST and version_numbers(probe.version or "", 3) < version_numbers(OLDEST[name], 3)


def _check(machine: Machine, name: str, probe: Probe) -> Check:
    if probe.imported and _too_old(name, probe):
        return Check(name, PROBLEM, "{}, {} or newer expected".format(probe.version, OLDEST[name]),
                     run_pip(machine, "--upgrade " + name))
    if probe.imported:
        return Check(name, OK, str(probe.version))
    if probe.absent:
        return Check(name, NOTE, "not installed; " + _ONLY)
    if probe.unknown:
        return Check(name, NOTE, "{}; {}".format(unknown(probe), _ONLY))
    return Check(name, PROBLEM, "{} cannot be imported: {}".format(probe.version or "it", probe.failure),
                 run_pip(machine, "--force-reinstall " + name))


def _check_rtx(probe: Probe) -> Check:
    if probe.imported:
        return Check("tensorrt_rtx", OK, "{}: exports are built by it as a trial".format(probe.version))
    if probe.absent:
        return Check("tensorrt_rtx", NOTE, _RTX, install_command("rtx"))
    return Check("tensorrt_rtx", NOTE, unknown(probe) if probe.unknown else "cannot be imported: {}".format(
        probe.failure), install_command("rtx"))
