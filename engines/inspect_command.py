"""``edgenext-build inspect F.plan``: what a plan is, and whether it would run here. Nothing of it is run."""
import json
import sys
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options

if TYPE_CHECKING:
    from edgenext_deploy.artifacts.plan_check import Environment, PlanHeader, PlanRecord
    from edgenext_deploy.errors import EdgeNextError

_WIDTH_OF_A_FILE = 120


class Inspection(NamedTuple):
    """What is known of a plan.

    Attributes:
        path: of the plan.
        header: what its first bytes say.
        record: its sidecar, None unless it is there and describes exactly this plan.
        problem: why it would not run here, None if it would.
        warnings: what to know although it would.
    """

    path: str
    header: "PlanHeader"
    record: "Optional[PlanRecord]"
    problem: "Optional[EdgeNextError]"
    warnings: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        """Return the inspection as JSON data."""
        from edgenext_deploy.artifacts.json_records import to_json

        return {
            "file": self.path, "header": to_json(self.header),
            "sidecar": to_json(self.record), "runs_here": self.problem is None,
            "exit_code": 0 if self.problem is None else self.problem.exit_code,
            "reason": None if self.problem is None else self.problem.message,
            "fix": None if self.problem is None else self.problem.fix, "warnings": list(self.warnings)}


@click.command("inspect")
@click.argument("plan", type=INPUT)
@click.option("--trust", is_flag=True, help="Judge a plan without a sidecar by its header alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def inspect_command(plan: str, trust: bool, as_json: bool) -> None:
    """Say what a plan is and whether it would run on this machine.

    Needs neither a GPU nor TensorRT. Exit code 0: it would run. 3: not a plan, damaged, or without its sidecar.
    4: built for something else. 6: this machine has no TensorRT or no GPU to run it on.
    """
    from edgenext_deploy.artifacts.plan_check import present_environment

    found = inspect_plan(plan, present_environment(), trust)
    _say(json.dumps(found.to_json(), indent=2) if as_json else _table(found))
    for warning in found.warnings:
        click.echo("warning: " + warning, err=True)
    if found.problem is not None:
        raise found.problem


def inspect_plan(path: str, environment: "Environment", trust: bool = False) -> Inspection:
    """Find out what a plan is and whether it runs on a machine.

    Raises:
        BadInputError: it is no plan at all. Every other problem is in the result.
    """
    from edgenext_deploy.artifacts import plan_check as plan
    from edgenext_deploy.errors import EdgeNextError

    header = plan.read_header(path)
    record: Optional[PlanRecord] = None
    problem: Optional[EdgeNextError] = None
    try:
        record = plan.identify_plan(path, trust)
        plan.require_fit(path, header, record, environment)
    except EdgeNextError as error:
        problem = error
    warnings = plan.warnings_of(record, environment) if record is not None and problem is None else ()
    return Inspection(path, header, record, problem, warnings)


def _rows(found: Inspection) -> List[Tuple[str, str]]:
    from edgenext_deploy.artifacts.plan_check import plan_title
    from edgenext_deploy.files import shown

    rows = [("file", "{}, {:,} bytes".format(found.path, found.header.bytes)),
            ("built for", plan_title(found.header, found.record))]
    record = found.record
    if record is None:
        rows.append(("sidecar", "none that describes this plan"))
    else:
        built = record.environment
        rows += [
            ("built on", ", ".join(text for text in (
                _named("", built.board), _named("", built.platform), _named("Jetson Linux", built.l4t),
                _named("JetPack", built.jetpack),
                _named("CUDA", built.cuda), _named("driver", built.driver),
                _named("driver for CUDA", built.cuda_driver)) if text)),
            ("built from", "{}, sha256 {}…".format(shown(record.onnx_file, 80), record.onnx_sha256[:12])),
            ("built at", "{}, in {:.1f} s, by edgenext-deploy {}".format(
                shown(record.built_at, 40), record.build_seconds, shown(record.toolkit_version, 40))),
            ("precision", "{}, mode {}, {} layers pinned to FP32".format(
                record.precision, record.precision_mode, sum(map(len, record.fp32_pins.values())))),
            ("flags", ", ".join(record.builder_flags) or "none"),
            ("workspace", "TensorRT's default" if record.workspace_bytes is None else
             "{:.0f} MiB".format(record.workspace_bytes / 2.0**20)),
            ("sidecar", "describes this plan, sha256 {}…".format(record.plan.sha256[:12])),
        ]
    rows.append(("runs here", "yes" if found.problem is None else
                 {4: "no", 6: "not on this machine"}.get(found.problem.exit_code, "not until that is put right")))
    return rows


def _table(found: Inspection) -> str:
    import io

    from rich.console import Console
    from rich.table import Table

    from edgenext_deploy.files import shown

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in _rows(found):
        table.add_row(title, shown(value, 400))
    stream = io.StringIO()
    console = Console(file=stream, markup=False, highlight=False, emoji=False, width=_WIDTH_OF_A_FILE)
    console.print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n"))


def _say(text: str) -> None:
    # In the C locale Python 3.6 writes ASCII only.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def _named(name: str, value: Optional[str]) -> Optional[str]:
    from edgenext_deploy.files import shown

    return None if value is None else "{} {}".format(name, shown(value, 80)).lstrip()
