"""``edgenext-doctor``: what this machine can run, what it lacks, and the commands that fix it."""
from typing import Any, Dict, List, Optional

import click

from edgenext_deploy.artifacts.json_records import to_json
from edgenext_deploy.commands.entry import common_options, entry_point
from edgenext_deploy.commands.options import Command, FiniteRange, examples, json_options, write_result
from edgenext_deploy.doctor.diagnosis import diagnose
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.record import NOTE, OK, PROBLEM, Diagnosis, Export
from edgenext_deploy.errors import MissingRuntimeError

_SCHEMA = 1
_COLORS = {OK: "green", PROBLEM: "red", NOTE: "yellow"}
_RUNTIMES = {"onnxruntime": "ONNX Runtime on the CPU (.onnx)", "tensorrt": "TensorRT on the GPU (.plan)"}


@click.command(cls=Command, epilog=examples(
    "edgenext-doctor", "edgenext-doctor --json-file doctor.json", "edgenext-doctor --timeout 120"))
@click.option("--timeout", "timeout_s", type=FiniteRange(0.1, 600), default=30.0, show_default=True,
              metavar="SECONDS", help="Longest time for the import of one library.")
@json_options
@common_options
def command(timeout_s: float, as_json: bool, json_file: Optional[str]) -> int:
    """Check this machine: Python, numpy, CUDA, TensorRT, pycuda, memory, power mode, cameras, export libraries.

    Prints one line for each: ok, problem or note, what was found, and the command that fixes it. Changes nothing and
    never needs root. Libraries are imported in child processes, so a broken one cannot stop the examination. The exit
    code is 0 if a network can run here, on TensorRT or on ONNX Runtime, and 6 otherwise.
    """
    diagnosis = diagnose(Machine(timeout_s=timeout_s))
    write_result(document(diagnosis), as_json, json_file, lambda: click.echo("\n".join(lines(diagnosis))))
    return 0 if diagnosis.possible else MissingRuntimeError.exit_code


def document(diagnosis: Diagnosis) -> Dict[str, Any]:
    """Return a diagnosis as what ``--json`` prints."""
    return {
        "schema": _SCHEMA,
        "inference_possible": diagnosis.possible,
        "routes": to_json(diagnosis.routes),
        "checks": to_json(diagnosis.checks),
        "export": to_json(diagnosis.export),
    }


def lines(diagnosis: Diagnosis) -> List[str]:
    """Return a diagnosis as lines for people.

    A table with borders would break the commands of the fixes, which are there to be copied.
    """
    width = max(len(check.name) for check in diagnosis.checks)
    shown = []
    for check in diagnosis.checks:
        status = click.style("{:<7}".format(check.status), fg=_COLORS[check.status])
        shown.append("{}  {:<{}}  {}".format(status, check.name, width, _printable(check.found)))
        if check.fix is not None:
            shown.append("{:<{}}  fix: {}".format("", width + 9, _printable(check.fix)))
    shown.append("")
    for route in diagnosis.routes:
        verdict = "yes" if route.possible else "no, missing: " + ", ".join(route.missing)
        shown.append("{}: {}".format(_RUNTIMES[route.name], verdict))
    shown += _export_lines(diagnosis.export)
    shown.append(click.style("inference is possible" if diagnosis.possible else "inference is not possible",
                             fg=_COLORS[OK if diagnosis.possible else PROBLEM]))
    return shown


def _export_lines(export: Export) -> List[str]:
    if export.possible:
        return ["export possible: yes"]
    if not export.missing:
        return ["export possible: no: {}".format(export.fix)]
    return ["export possible: no, missing: " + ", ".join(export.missing), "  fix: {}".format(export.fix)]


def _printable(text: str) -> str:
    """Escape what could move the cursor or cannot be encoded: names come from devices and error messages."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
                   for letter in text)


main = entry_point(command)

if __name__ == "__main__":
    main()
