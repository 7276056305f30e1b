"""The sidecar of a plan: one JSON file that says what was built, from which files, with which software and where.

It lies next to the plan as ``xxs.plan.json``. It may come from another machine, damaged or made up, so reading one
gives a record whose fields are all valid, or one clear error.
"""
import os
import re
import shlex
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.manifest import BUNDLE_SUFFIX, ONNX_SUFFIX
from edgenext_deploy.artifacts.plan_header import RUNTIME_NAMES, unreadable
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import find_beside, require_file, shown
from edgenext_deploy.machine.environment import Environment

SCHEMA = 1
# With a proof of every layer a sidecar has some 100 kB; anything far larger is not one.
_MAX_BYTES = 4 << 20
_MAX_DEPTH = 32
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){1,3}\Z", re.ASCII)
_CAPABILITY = re.compile(r"\d{1,3}\.\d\Z", re.ASCII)


class PlanFile(NamedTuple):
    """The plan that a sidecar belongs to; `file` is a name without folder."""

    file: str
    sha256: str
    bytes: int


class PlanRecord(NamedTuple):
    """Everything about one built plan.

    Attributes:
        schema: of this record.
        toolkit_version: that built it.
        plan: the file; `write_plan` fills it in.
        onnx_file: name of the ONNX file that it was built from.
        onnx_sha256: digest of that file.
        manifest_sha256: digest of that file's manifest, None if it had none.
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        tensorrt: version of that runtime.
        compute_capabilities: of the GPUs it was built for, such as ``5.3``; TensorRT builds for one.
        environment: the machine that built it.
        builder_flags: names of the flags that were set.
        precision: ``fp16`` or ``fp32``, as asked for.
        precision_mode: ``flag``, ``typed`` or ``none``; see `edgenext_deploy.artifacts.manifest.Precision`.
        fp32_pins: reason to the names of the layers that were pinned to FP32.
        workspace_bytes: what the builder was allowed to use, None where that is TensorRT's own default.
        build_seconds: wall time of the build.
        built_at: when, in UTC, as ``2026-11-22T09:30:00Z``.
        proof: what the engine inspector said about the layers' precision.
        plugins: TensorRT's own plugins that the plan needs, by name.
        race: the race that the plan won, see `edgenext_deploy.engines.racing.records.RaceTable`; None without one.
    """

    schema: int
    toolkit_version: str
    plan: PlanFile
    onnx_file: str
    onnx_sha256: str
    manifest_sha256: Optional[str]
    flavour: str
    tensorrt: str
    compute_capabilities: Tuple[str, ...]
    environment: Environment
    builder_flags: Tuple[str, ...]
    precision: str
    precision_mode: str
    fp32_pins: Dict[str, Tuple[str, ...]]
    workspace_bytes: Optional[int]
    build_seconds: float
    built_at: str
    proof: Dict[str, Any]
    plugins: Tuple[str, ...] = ()
    race: Optional[Dict[str, Any]] = None


def sidecar_path(path: str) -> str:
    """Return the path of the sidecar next to a plan, where it is written."""
    return path + ".json"


def find_sidecar_path(path: str) -> str:
    """Return the path of a plan's sidecar to read: of a link to a plan, it may lie next to the plan."""
    return find_beside(path, sidecar_path)


def rebuild_command(path: str) -> str:
    """Return the command that builds a plan again, for a shell: from its graph, or a bundle if only that lies there."""
    stem = os.path.splitext(path)[0]
    # Python 3.6 raises for a null character.
    bundle = "\0" not in stem and os.path.isfile(stem + BUNDLE_SUFFIX) and not os.path.isfile(stem + ONNX_SUFFIX)
    return shown("edgenext-build {}".format(shlex.quote(stem + (BUNDLE_SUFFIX if bundle else ONNX_SUFFIX))), 400)


def dump(record: PlanRecord) -> bytes:
    """Return the record as JSON; the same record gives the same bytes."""
    return json_records.dump(record)


def find_record(path: str) -> Optional[PlanRecord]:
    """Return the sidecar of a plan, or None when there is none at all; see `read_record`."""
    return read_record(path) if os.path.lexists(find_sidecar_path(path)) else None


def read_record(path: str) -> PlanRecord:
    """Read and check the sidecar of a plan; the plan itself is not looked at.

    Raises:
        BadInputError: missing, unreadable, too large, not JSON, another schema, or a field of another type.
    """
    beside = find_sidecar_path(path)
    fix = "build the plan again: " + rebuild_command(path)
    try:
        require_file(beside, "sidecar of the plan", fix)
        with open(beside, "rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(shown(beside), error, fix) from error
    try:
        return parse_record(data, shown(beside))
    except BadInputError as error:
        raise BadInputError(error.message, error.fix or fix) from error


def parse_record(data: bytes, where: str) -> PlanRecord:
    """Parse the content of a sidecar.

    Args:
        data: its bytes.
        where: what to call it in an error.

    Raises:
        BadInputError: see `read_record`.
    """
    if len(data) > _MAX_BYTES:
        raise BadInputError("{}: too large for a sidecar: more than {} bytes".format(where, _MAX_BYTES))
    try:
        parsed = json_records.parse(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInputError("{}: not a sidecar of a plan: {}".format(where, shown(str(error)))) from error
    if not isinstance(parsed, dict) or "schema" not in parsed:
        raise BadInputError("{}: not a sidecar of a plan: it has no field 'schema'".format(where))
    if parsed["schema"] != SCHEMA:
        raise BadInputError("{}: sidecar schema {} found, {} expected".format(
            where, shown(repr(parsed["schema"]), 40), SCHEMA),
            "use the toolkit version {} that wrote it, or build the plan again".format(
                shown(str(parsed.get("toolkit_version", "(unknown)")), 40)))
    _require_shallow(parsed, where)
    try:
        record = json_records.from_json(PlanRecord, parsed, where)
    except BadInputError as error:
        # Names of fields and the like come from the file.
        raise BadInputError(shown(error.message, 400)) from error
    _require_sense(record, where)
    return record


def _require_sense(record: PlanRecord, where: str) -> None:
    """Raise BadInputError where a field has its type but no possible value."""
    wrong = [name for name, right in (
        ("plan.sha256", _DIGEST.match(record.plan.sha256)),
        ("plan.bytes", record.plan.bytes > 0),
        ("onnx_sha256", _DIGEST.match(record.onnx_sha256)),
        ("manifest_sha256", record.manifest_sha256 is None or _DIGEST.match(record.manifest_sha256)),
        ("flavour", record.flavour in RUNTIME_NAMES),
        ("tensorrt", _VERSION.match(record.tensorrt)),
        ("compute_capabilities", record.compute_capabilities
         and all(map(_CAPABILITY.match, record.compute_capabilities))),
        ("precision", record.precision in ("fp16", "fp32")),
        ("precision_mode", record.precision_mode in ("flag", "typed", "none")),
    ) if not right]
    if wrong:
        raise BadInputError("{}: not a sidecar of a plan: field {!r} has an impossible value".format(where, wrong[0]))


def _require_shallow(data: Any, where: str) -> None:
    """Raise BadInputError for lists and objects so deep that writing them again would end in a RecursionError."""
    level = [data]
    for _ in range(_MAX_DEPTH):
        level = [inner for item in level if isinstance(item, (list, dict))
                 for inner in (item.values() if isinstance(item, dict) else item)]
    if level:
        raise BadInputError("{}: not a sidecar of a plan: nested deeper than {} levels".format(where, _MAX_DEPTH))
