"""The identity of a TensorRT plan: written with a sidecar, and checked against it before anything runs it.

A plan is executable content for one TensorRT release on one kind of GPU. The sidecar ``xxs.plan.json`` next to
``xxs.plan`` holds the plan's digest and what it was built from, with, where and how; the plan itself stays as
TensorRT wrote it. `engine_file.open_plan` reads and checks both, `require_fit` decides whether the plan may be
deserialised on a machine. docs/plans.md says what this protects against.
"""
import os
import shlex
from typing import Dict, List, Optional, Tuple

from edgenext_deploy.artifacts.plan_header import (
    OTHER,
    RUNTIME_NAMES,
    PlanHeader,
    read_header,
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
from edgenext_deploy.files import sha256_of_bytes, shown, write_files_atomically
from edgenext_deploy.machine.environment import Environment, present_environment
from edgenext_deploy.machine.versions import version_numbers
from edgenext_deploy.targets import TENSORRT

__all__ = [
    "SCHEMA", "Environment", "PlanFile", "PlanHeader", "PlanRecord", "dump", "find_record", "plan_title",
    "present_environment", "read_header", "read_record", "rebuild_command", "record_for", "require_digest",
    "require_fit", "sidecar_path", "warnings_of", "write_plan",
]


def write_plan(path: str, plan_bytes: bytes, record: PlanRecord,
               manifest: Optional[Dict[str, bytes]] = None) -> PlanRecord:
    """Write a plan and its sidecar.

    All are complete on the disk before one gets its name, the sidecar last. What an interruption in between leaves
    undone, the next reader finishes (`edgenext_deploy.files.settled`).

    Args:
        path: where the plan goes; an older plan there is replaced.
        plan_bytes: as TensorRT serialised it.
        record: what to say about it; its field `plan` is computed here.
        manifest: path and content of a manifest to write with them.

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
    write_files_atomically({**(manifest or {}), path: plan_bytes, sidecar_path(path): sidecar})
    return parsed


def require_fit(path: str, header: PlanHeader, record: Optional[PlanRecord], environment: Environment) -> None:
    """Decide whether a plan may be deserialised on a machine, as far as its header and its sidecar say.

    Args:
        path: of the plan, for the messages.
        header: its first bytes.
        record: its sidecar; None for a plan that is trusted without one.
        environment: the machine; `present_environment()` for this one.

    Raises:
        IncompatibleError: built for another TensorRT, GPU or platform; the message names both sides.
        MissingRuntimeError: this machine lacks TensorRT or the GPU, so that nothing more can be said.
    """
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
            "run it where it was built, or run the ONNX file here: edgenext-run {} PHOTO.jpg".format(
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


def record_for(path: str, header: PlanHeader, trust: bool) -> Optional[PlanRecord]:
    """Return the sidecar if its size and header are this plan's; None where there is none and `trust` allows that.

    Raises:
        BadInputError: no sidecar, a broken one, or that of another plan.
    """
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


def require_digest(path: str, record: PlanRecord, found: str) -> None:
    """Raise BadInputError unless a plan's SHA-256, as found, is the one in its sidecar."""
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
