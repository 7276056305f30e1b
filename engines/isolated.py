"""A build in a child process: the caller gets a plan or one clear error.

On a small board the kernel silently kills a build that needs too much memory, and native code may crash. Both end
only the child. Its memory is free again before the plan is tried.
"""
import json
import os
import signal
import subprocess
import tempfile

from edgenext_deploy import errors
from edgenext_deploy.artifacts import json_records
from edgenext_deploy.child_process import KILLED, python_command
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.machine.facts import SWAP_ADVICE
from edgenext_deploy.scratch import TMPDIR_FIX, scratch_folder

_CHILD = "edgenext_deploy.engines.build_child"
_STDERR = 2


def build_in_child(request: BuildRequest) -> BuildResult:
    """Build one plan in a child process; progress goes to standard error.

    Raises:
        EdgeNextError: what `builder.build` raised in the child.
        IncompatibleError: the child crashed or was killed, most often because memory ran out.
    """
    with scratch_folder() as folder:
        with open(os.path.join(folder, "request.json"), "w", encoding="utf-8") as stream:
            json.dump(json_records.to_json(request._replace(onnx_path=os.path.abspath(request.onnx_path))), stream)
        # Native code may print to standard output, where the caller's result goes.
        code = subprocess.call(python_command(_CHILD, [folder]), stdin=subprocess.DEVNULL,
                               stdout=_STDERR)
        return _read_answer(folder, code)


def _read_answer(folder: str, code: int) -> BuildResult:
    path = os.path.join(folder, "answer.json")
    if not os.path.exists(path):
        raise _died(code)
    with open(path, encoding="utf-8") as stream:
        answer = json.load(stream)
    if "bug" in answer:
        raise RuntimeError(answer["bug"]) from RuntimeError("in the child process\n" + answer["traceback"])
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"], answer["fix"])
    with open(os.path.join(folder, "plan"), "rb") as plan:
        return BuildResult(plan.read(), json_records.from_json(BuildReport, answer["report"], "build report"))


def _died(code: int) -> Exception:
    if code == -signal.SIGKILL:
        return IncompatibleError("the build " + KILLED, SWAP_ADVICE)
    if code == UsageError.exit_code:
        return UsageError("cannot write to the folder for temporary files: " + tempfile.gettempdir(), TMPDIR_FIX)
    if code < 0:
        return IncompatibleError("the build crashed inside TensorRT (signal {})".format(-code),
                                 "look at its messages above, and try --workspace-mib with another value")
    return RuntimeError("the process that builds ended with code {} and no answer; its messages are above".format(code))
