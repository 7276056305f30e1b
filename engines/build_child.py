"""Child process of `isolated`: one build, from FOLDER/request.json to FOLDER/plan and FOLDER/answer.json.

The answer is renamed into place last: if it is there, everything else is complete.
"""
import json
import os
import sys
import traceback
from typing import Any, Dict

from edgenext_deploy.commands.resources import out_of_resources
from edgenext_deploy.errors import UsageError
from edgenext_deploy.scratch import TMPDIR_FIX


def _build(folder: str) -> Dict[str, Any]:
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.engines.build_records import BuildRequest
    from edgenext_deploy.engines.builder import build
    from edgenext_deploy.engines.progress import BuildProgress
    from edgenext_deploy.errors import EdgeNextError

    with open(os.path.join(folder, "request.json"), encoding="utf-8") as stream:
        # Our own parent wrote it. Read as a foreign record, its paths would be escaped and lead nowhere.
        request = BuildRequest(**json.load(stream))
    try:
        with BuildProgress(sys.stderr, "building with " + request.runtime) as progress:
            result = build(request, progress.phase)
    except EdgeNextError as error:
        return {"error": type(error).__name__, "message": error.message, "fix": error.fix}
    try:
        with open(os.path.join(folder, "plan"), "wb") as plan:
            plan.write(result.plan)
    except OSError as error:
        os.truncate(os.path.join(folder, "plan"), 0)  # room for the answer
        return {"error": "UsageError", "message": "cannot write {}: {}".format(folder, error.strerror or error),
                "fix": TMPDIR_FIX}
    return {"report": json_records.to_json(result.report)}


def main(folder: str) -> None:
    """Build, and write the answer."""
    try:
        answer = _build(folder)
    except Exception as error:
        known = out_of_resources(error)
        # Else a bug: the parent says so, and shows the traceback with --debug.
        answer = {"error": type(known).__name__, "message": known.message, "fix": known.fix} if known else {
            "bug": "{}: {}".format(type(error).__name__, error), "traceback": traceback.format_exc()}
    path = os.path.join(folder, "answer.json")
    try:
        with open(path + ".tmp", "w", encoding="utf-8") as stream:
            json.dump(answer, stream)
        os.replace(path + ".tmp", path)
    except OSError:  # no room for the answer: the exit code is one
        os._exit(UsageError.exit_code)


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorRT-RTX may crash while the interpreter shuts down on a machine with no GPU: leave without it.
    os._exit(0)
