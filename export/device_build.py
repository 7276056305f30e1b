"""On the device itself the export also builds the TensorRT engine; elsewhere it names the command to run there.

The builder runs as a child process: this stage does not import the next one.
"""
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgenext_deploy.child_process import python_command
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.machine.environment import Environment, present_environment
from edgenext_deploy.targets import Target

_BUILDER = "edgenext_deploy.engines.cli"

Runner = Callable[[Sequence[str]], int]


class DeviceBuildError(EdgeNextError):
    """The builder failed after the graph was written; it has printed why, and its exit code is passed on."""

    def __init__(self, exit_code: int, command: str) -> None:
        super().__init__("the graph was written, and building its plan failed with the message above",
                         f"try it again alone: {command}")
        self.exit_code = exit_code


def build_command(onnx_path: str) -> str:
    """Return the command to paste on the device."""
    return f"edgenext-build {shlex.quote(Path(onnx_path).name)}"


def can_build_here(target: Target, environment: Environment) -> bool:
    """Whether this machine has TensorRT and the target's GPU."""
    return environment.tensorrt is not None and bool(target.compute_capability) and (
        environment.compute_capability == target.compute_capability)


def build_if_here(
    onnx_path: str, target: Target, environment: Environment | None = None, run: Runner | None = None
) -> str | None:
    """Build the plan next to the graph if this machine is the target; return its path, or None.

    Raises:
        DeviceBuildError: the builder failed; the graph and its manifest stay.
    """
    if not can_build_here(target, environment or present_environment()):
        return None
    code = (run or _run)([onnx_path])
    if code != 0:
        raise DeviceBuildError(code, f"edgenext-build {shlex.quote(onnx_path)}")
    return str(Path(onnx_path).with_suffix(".plan"))


def _run(arguments: Sequence[str]) -> int:
    """Run the builder with its messages on stderr, where they do not mix with ``--json``."""
    return subprocess.run(python_command(_BUILDER, arguments), stdout=sys.stderr, check=False).returncode
