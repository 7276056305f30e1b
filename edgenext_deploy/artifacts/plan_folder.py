"""A folder of plans of one network, each built on its own kind of GPU: the one that fits a machine."""
import os
import shlex
from typing import Dict, List

from edgenext_deploy.artifacts.manifest import PLAN_SUFFIXES
from edgenext_deploy.artifacts.plan_check import plan_title, require_fit
from edgenext_deploy.artifacts.plan_header import read_header
from edgenext_deploy.artifacts.plan_sidecar import PlanRecord, find_sidecar_path, read_record
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.machine.environment import Environment

_MOST_NAMED = 8


def plans_in(folder: str) -> List[str]:
    """Return the paths of the plans in a folder that have a sidecar, sorted by name; none for what is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = [os.path.join(folder, name) for name in names if os.path.splitext(name)[1].lower() in PLAN_SUFFIXES]
    return [path for path in paths if os.path.isfile(path) and os.path.isfile(find_sidecar_path(path))]


def records_in(folder: str) -> Dict[str, PlanRecord]:
    """Return the sidecar of each plan in a folder, by path; the plans themselves are not read.

    Raises:
        BadInputError: a broken sidecar.
    """
    return {path: read_record(path) for path in plans_in(folder)}


def fitting_plan(folder: str, environment: Environment) -> str:
    """Return the path of the plan that a machine can run, as far as headers and sidecars say; see `require_fit`.

    Args:
        folder: with at least one plan that has a sidecar.
        environment: the machine.

    Raises:
        BadInputError: a broken plan or sidecar.
        IncompatibleError: none fits; the message names them, and the command that builds one that does.
        MissingRuntimeError: this machine has no TensorRT, or no GPU.
        UsageError: several fit.
    """
    missing = ([] if environment.tensorrt or environment.tensorrt_rtx else ["TensorRT"]) + (
        ["NVIDIA GPU"] if environment.compute_capability is None else [])
    if missing:
        raise MissingRuntimeError("{} has plans; this machine has no {}".format(
            shown(folder), " and no ".join(missing)), "run them where they were built, or give an ONNX file")
    fitting: List[str] = []
    others: List[str] = []
    for path, record in records_in(folder).items():
        header = read_header(path)
        try:
            require_fit(path, header, record, environment)
        except (IncompatibleError, MissingRuntimeError):
            others.append("{} ({})".format(os.path.basename(path), plan_title(header, record)))
        else:
            fitting.append(path)
    if len(fitting) > 1:
        raise UsageError("several plans in {} fit this machine: {}".format(
            shown(folder), ", ".join(map(os.path.basename, fitting))), "name one, or leave one for each kind of GPU")
    if fitting:
        return fitting[0]
    raise IncompatibleError(
        "no plan in {} fits this machine, which has {}: {}{}".format(
            shown(folder), _machine(environment), ", ".join(others[:_MOST_NAMED]),
            ", …" if len(others) > _MOST_NAMED else ""),
        "build one on this machine: " + _build_command(folder, environment))


def _machine(environment: Environment) -> str:
    return "TensorRT {} on {} (compute capability {})".format(
        environment.tensorrt or environment.tensorrt_rtx or "(none)", shown(str(environment.gpu), 80),
        environment.compute_capability)


def _build_command(folder: str, environment: Environment) -> str:
    """Return the command that adds a plan for a machine, named after its GPU's compute capability."""
    record: PlanRecord = next(iter(records_in(folder).values()))
    stem = os.path.splitext(os.path.basename(record.onnx_file))[0]
    name = "{}-sm{}.plan".format(stem, str(environment.compute_capability).replace(".", ""))
    return shown("edgenext-build {} --output {}".format(
        shlex.quote(stem + ".onnx"), shlex.quote(os.path.join(folder, name))), 400)
