"""The identity of a TensorRT plan: written with a sidecar, and checked against it before anything runs it.

A plan is executable content for one TensorRT release on one kind of GPU. The sidecar ``xxs.plan.json`` beside
``xxs.plan`` holds the plan's digest and what it was built from, with, where and how; the plan itself stays as
TensorRT wrote it. `check_plan` and `read_plan` decide whether it may be deserialised here. docs/plans.md says
what this protects against.
"""
import contextlib
import os
import shlex
from typing import Iterator, List, Optional, Tuple

from edgenext_deploy.artifacts.plan_header import (
    OTHER,
    RUNTIME_NAMES,
    TENSORRT,
    PlanHeader,
    parse_header,
    read_header,
    unreadable,
)
from edgenext_deploy.artifacts.plan_sidecar import (
    SCHEMA,
    PlanFile,
    PlanRecord,
    dump,
    find_record,
    parse_record,
    read_record,
    rebuild_command,
    sidecar_path,
)
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.files import sha256_of_bytes, sha256_of_file, shown, write_files_atomically
from edgenext_deploy.machine.environment import Environment, present_environment
from edgenext_deploy.machine.versions import version_numbers

__all__ = [
    "SCHEMA", "Environment", "PlanFile", "PlanHeader", "PlanRecord", "check_plan", "dump", "find_record",
    "identify_plan", "plan_title", "present_environment", "read_header", "read_plan", "read_record", "rebuild_command",
    "require_fit", "sidecar_path", "warnings_of", "write_plan",
]


def write_plan(path: str, plan_bytes: bytes, record: PlanRecord) -> PlanRecord:
    """Write a plan and its sidecar.

    Both are complete on the disk before either gets its name, the plan first. Whoever is interrupted in between
    leaves a new plan beside an old sidecar, whose digest refuses it.

    Args:
        path: where the plan goes; an older plan there is replaced.
        plan_bytes: as TensorRT serialised it.
        record: what to say about it; its field `plan` is computed here.

    Returns:
        The record as written.

    Raises:
        UsageError: the folder cannot be written, or the disk is full.
        ValueError: the record is not one that `read_record` would take back.
    """
    file = PlanFile(os.path.basename(path), sha256_of_bytes(plan_bytes), len(plan_bytes))
    written = record._replace(plan=file)
    sidecar = dump(written)
    try:
        parsed = parse_record(sidecar, "the new sidecar")
    except BadInputError as error:
        raise ValueError("cannot write the plan: {}".format(error.message)) from error
    write_files_atomically({path: plan_bytes, sidecar_path(path): sidecar})
    return parsed


def identify_plan(path: str, trust: bool = False) -> Optional[PlanRecord]:
    """Check that a file is a plan, and exactly the one that its sidecar describes.

    Args:
        path: the plan.
        trust: accept a plan without a sidecar. One with a sidecar that does not fit is refused all the same.

    Returns:
        The sidecar, or None for a plan without one.

    Raises:
        BadInputError: not a plan, cut short, changed, without a sidecar, or with that of another plan.
    """
    header = read_header(path)
    with _reading(path):
        record = _record_for(path, header, trust)
        if record is not None:
            _require_digest(path, record, sha256_of_file(path))
    return record


def check_plan(path: str, environment: Environment, trust: bool = False) -> Optional[PlanRecord]:
    """Decide whether a plan may be deserialised on a machine; nothing of it is run.

    Args:
        path: the plan.
        environment: the machine, `present_environment()` for this one.
        trust: accept a plan without a sidecar; its header is still checked.

    Returns:
        The sidecar, or None for a plan without one.

    Raises:
        BadInputError: see `identify_plan`.
        IncompatibleError: built for another TensorRT, GPU or platform; the message names both sides.
        MissingRuntimeError: this machine lacks TensorRT or the GPU, so that nothing more can be said.
    """
    record = identify_plan(path, trust)
    require_fit(path, read_header(path), record, environment)
    return record


def read_plan(path: str, environment: Environment, trust: bool = False) -> Tuple[bytes, Optional[PlanRecord]]:
    """Like `check_plan`, and return the very bytes that were checked, for the runtime to deserialise.

    A file that is replaced between a check and a second reading would go unchecked; this one is read once.
    """
    header = read_header(path)
    with _reading(path):
        record = _record_for(path, header, trust)
        with open(path, "rb") as stream:
            data = stream.read(header.bytes + 1)
    if record is not None:
        _require_digest(path, record, sha256_of_bytes(data))
    require_fit(path, parse_header(data[:256], len(data), shown(path)), record, environment)
    return data, record


def require_fit(path: str, header: PlanHeader, record: Optional[PlanRecord], environment: Environment) -> None:
    """Raise unless a plan runs on a machine, as far as its header and its sidecar say; see `check_plan`."""
    flavour = header.flavour if record is None else record.flavour
    version = header.tensorrt if record is None else record.tensorrt
    capabilities = header.compute_capabilities if record is None else record.compute_capabilities
    present = environment.tensorrt if flavour == TENSORRT else environment.tensorrt_rtx
    runtime = RUNTIME_NAMES[flavour]
    pairs: List[Tuple[str, str]] = []
    if record is not None and record.environment.platform != environment.platform:
        pairs.append((shown(record.environment.platform, 40), environment.platform))
    if version is not None and present is not None and not _agree(version, present):
        pairs.append(("{} {}".format(runtime, version), "{} {}".format(runtime, present)))
    here = environment.compute_capability
    if capabilities and here is not None and here not in capabilities and OTHER not in capabilities:
        built_gpu = record.environment.gpu if record is not None and flavour == TENSORRT else None
        pairs.append((_gpu_text(capabilities, built_gpu), _gpu_text((here,), environment.gpu)))
    if pairs:
        raise IncompatibleError(
            "{} does not fit this machine: built for {}, found {}".format(
                shown(path), ", ".join(built for built, _ in pairs), ", ".join(found for _, found in pairs)),
            "build it on this machine: " + rebuild_command(path))
    missing = ([runtime] if present is None else []) + (["NVIDIA GPU"] if here is None else [])
    if missing:
        raise MissingRuntimeError(
            "{} is a plan for {}; this machine has no {}".format(
                shown(path), plan_title(header, record), " and no ".join(missing)),
            "run it where it was built, or run the ONNX file here: edgenext-run --engine {}".format(
                shown(shlex.quote(os.path.splitext(path)[0] + ".onnx"))))


def plan_title(header: PlanHeader, record: Optional[PlanRecord]) -> str:
    """Return what a plan is for, in words: the runtime with its version, and the GPU."""
    flavour, version, capabilities, gpu = (
        (header.flavour, header.tensorrt, header.compute_capabilities, None) if record is None else
        (record.flavour, record.tensorrt, record.compute_capabilities, record.environment.gpu))
    runtime = "{} {}".format(RUNTIME_NAMES[flavour], version or "(version unknown)")
    if not capabilities:
        return runtime + " on a GPU that only a sidecar could name"
    # TensorRT-RTX builds for GPUs that need not be there.
    return "{} on {}".format(runtime, _gpu_text(capabilities, gpu if flavour == TENSORRT else None))


def warnings_of(record: PlanRecord, environment: Environment) -> Tuple[str, ...]:
    """Return what a user should know although the plan is accepted.

    TensorRT loads a plan on another model of the same compute capability, and warns that it may be slow or fail
    (NVIDIA/TensorRT#2900).
    """
    built = record.environment
    found = []
    if record.flavour == TENSORRT and _differ(built.gpu, environment.gpu):
        found.append("built for {}, found {}: it may be slower here; rebuild for the best speed".format(
            shown(str(built.gpu), 80), environment.gpu))
    if _differ(built.l4t, environment.l4t):
        found.append("built under Jetson Linux {}, found {}: rebuild if it misbehaves".format(
            shown(str(built.l4t), 40), environment.l4t))
    driver, here = built.cuda_driver, environment.cuda_driver
    if driver is not None and here is not None and version_numbers(driver) > version_numbers(here):
        found.append("built with a driver for CUDA {}, found one for CUDA {}: update the driver if it fails".format(
            shown(driver, 40), here))
    return tuple(found)


def _record_for(path: str, header: PlanHeader, trust: bool) -> Optional[PlanRecord]:
    """Return the sidecar if its size and header are this plan's; None where there is none and `trust` allows that."""
    record = find_record(path)
    name, rebuild = shown(path), "build the plan again: " + rebuild_command(path)
    if record is None:
        if trust:
            return None
        raise BadInputError(
            "{} has no sidecar ({} not found), so nothing vouches for it".format(name, shown(sidecar_path(path))),
            "{}, or pass --trust if you know who built it: a plan can run code".format(rebuild))
    if header.bytes != record.plan.bytes:
        raise BadInputError("{} is not the plan that its sidecar describes: {} bytes found, {} expected{}".format(
            name, header.bytes, record.plan.bytes, " (cut short)" if header.bytes < record.plan.bytes else ""), rebuild)
    if header.flavour != record.flavour or (
            _is_exact(header.tensorrt) and not _agree(str(header.tensorrt), record.tensorrt)):
        raise BadInputError(
            "{} is not the plan that its sidecar describes: header of {} {} found, {} {} expected".format(
                name, RUNTIME_NAMES[header.flavour], header.tensorrt, RUNTIME_NAMES[record.flavour],
                record.tensorrt), rebuild)
    return record


def _require_digest(path: str, record: PlanRecord, found: str) -> None:
    if found != record.plan.sha256:
        raise BadInputError("{} is not the plan that its sidecar describes: sha256 {}… found, {}… expected".format(
            shown(path), found[:12], record.plan.sha256[:12]), "build the plan again: " + rebuild_command(path))


def _is_exact(version: Optional[str]) -> bool:
    """Whether a header's version is the release itself, and not a guess by its serialisation number."""
    return version is not None and version.count(".") == 3


def _agree(first: str, second: str) -> bool:
    """Whether two versions are the same release as far as both are known: ``8.6.1`` and ``8.6.1.6`` are."""
    one, other = version_numbers(first), version_numbers(second)
    known = min(len(one), len(other))
    return one[:known] == other[:known]


def _gpu_text(capabilities: Tuple[str, ...], gpu: Optional[str]) -> str:
    text = "compute capability " + " or ".join(capabilities)
    return "{} ({})".format(shown(gpu, 80), text) if gpu else text


def _differ(built: Optional[str], here: Optional[str]) -> bool:
    return built is not None and here is not None and built != here


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(shown(path), error, "build the plan again: " + rebuild_command(path)) from error
