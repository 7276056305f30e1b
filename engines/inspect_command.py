"""``edgenext-build inspect F.plan``: what a plan is, and whether it would run here."""
from typing import TYPE_CHECKING, List, Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.options import Command, examples, json_options, write_result

if TYPE_CHECKING:
    from edgenext_deploy.engines.inspection import Inspection

_WIDTH_OF_A_FILE = 120


@click.command("inspect", cls=Command, epilog=examples(
    "edgenext-build inspect xxs.plan", "edgenext-build inspect xxs.plan --json-file xxs-plan-report.json"))
@click.argument("plan", type=INPUT)
@click.option("--trust", is_flag=True, help="Judge a plan without a sidecar by its header alone.")
@json_options
@common_options
def inspect_command(plan: str, trust: bool, as_json: bool, json_file: Optional[str]) -> None:
    """Say what a plan is and whether it would run on this machine.

    Needs neither a GPU nor TensorRT. Exit code 0: it would run. 3: not a plan, damaged, or without its sidecar.
    4: built for something else. 6: this machine has no TensorRT or no GPU to run it on.
    """
    from edgenext_deploy.engines.inspection import inspect_plan

    found = inspect_plan(plan, trust=trust)
    write_result(found.to_json(), as_json, json_file, lambda: click.echo(_table(found)))
    for warning in found.warnings:
        click.echo("warning: " + warning, err=True)
    if found.problem is not None:
        raise found.problem


def _rows(found: "Inspection") -> List[Tuple[str, str]]:
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
                 {4: "no", 6: "not on this machine"}.get(found.problem.exit_code, "not until this is fixed")))
    return rows


def _table(found: "Inspection") -> str:
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


def _named(name: str, value: Optional[str]) -> Optional[str]:
    from edgenext_deploy.files import shown

    return None if value is None else "{} {}".format(name, shown(value, 80)).lstrip()
