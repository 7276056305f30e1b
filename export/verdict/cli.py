"""``edgenext-export check FILE.onnx``: which TensorRT releases and targets can run it. Loads under Python 3.6 too."""
from typing import TYPE_CHECKING, Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import Command, examples, json_options, write_result

if TYPE_CHECKING:
    from edgenext_deploy.export.checks.rtx import RtxReport
    from edgenext_deploy.export.verdict.check import Verdicts
    from edgenext_deploy.export.verdict.findings import Group

_LONGEST_LINE = 300


@click.command(
    "check", cls=Command, context_settings={"max_content_width": 110},
    short_help="Say which TensorRT releases can run an ONNX file.", epilog=examples(
        "edgenext-export check model.onnx", "edgenext-export check model.onnx --target nano",
        "edgenext-export check model.onnx --build 86"))
@click.argument("file", metavar="FILE.onnx", type=INPUT)
@target_option("Fail with exit code 4 unless this target can run the file: {names}.")
@click.option("--real/--no-real", default=None, help="Ask NVIDIA's own parser (TensorRT-RTX, no GPU needed) for the "
              "verdict of its release.  [default: where it is installed]")
@click.option("--build", metavar="CAPABILITY", help="Have TensorRT-RTX build for this compute capability too, for "
              "example 86.")
@click.option("--plugin", "plugins", metavar="OPERATOR", multiple=True, help="Take nodes of this operator: the device "
              "loads a plugin library of yours that has it. May be given more than once.")
@json_options
@common_options
def check_command(file: str, target: Optional[str], real: Optional[bool], build: Optional[str],
                  plugins: Tuple[str, ...], as_json: bool, json_file: Optional[str]) -> None:
    """Say which TensorRT releases and targets can run FILE.onnx, and why the others cannot.

    The file may come from anywhere. It is read, never run.
    """
    require_libraries("checking an ONNX file", ("onnx",))
    from edgenext_deploy.export.verdict.check import check_onnx
    from edgenext_deploy.targets import get_target

    if target is not None:
        get_target(target)  # a wrong name is an error before the tables
    verdicts = check_onnx(file, real=real, build=build, plugins=plugins)
    write_result(verdicts.to_json(), as_json, json_file, lambda: _print(verdicts), ensure_ascii=False)
    if target is not None:
        verdicts.require(target)


def _print(verdicts: "Verdicts") -> None:
    from rich.table import Table

    from edgenext_deploy.commands.screen import make_console
    from edgenext_deploy.export.verdict.findings import group_findings

    groups = group_findings(verdicts.releases.values())
    listed = [group for group in groups if group.severity != "note"]
    table = Table("TensorRT", "verdict", "said by", "opset", "problems")
    for release, judged in verdicts.releases.items():
        numbers = [str(number) for number, group in enumerate(listed, 1) if release in group.releases]
        table.add_row(release, judged.state, judged.who, _opset_range(release), ", ".join(numbers))
    click.echo(f"{verdicts.path}: opset {verdicts.opset}, IR version {verdicts.ir_version}, {verdicts.nodes} nodes")
    make_console(highlight=False).print(table)
    for number, group in enumerate(listed, 1):
        click.echo(f"{number:3d}. {group.severity}: {_shown(group)}")
    if verdicts.real is not None:
        click.echo(_real_line(verdicts.real))
    notes = len(groups) - len(listed)
    if notes:
        click.echo(f"{notes} note{'s' if notes > 1 else ''} not shown; --json has them")
    click.echo("targets that can run it: " + (", ".join(verdicts.targets) or "none"))


def _real_line(report: "RtxReport") -> str:
    if not report.available:
        return f"NVIDIA's parser was not asked: {report.reason}"
    if not report.answered:
        return f"TensorRT-RTX {report.version} gave no answer: {report.reason}"
    line = f"TensorRT-RTX {report.version}: " + (
        "takes it" if report.ok else "the parser takes it, the builder does not" if report.parsed else "refuses it")
    if not report.parts:
        return line
    nodes, parts = sum(map(len, report.parts)), len(report.parts)
    return f"{line}; {nodes} nodes would run, in {parts} part{'s'[:parts > 1]} (--json has them)"


def _opset_range(release: str) -> str:
    from edgenext_deploy.export.verdict.releases import get_release

    facts = get_release(release)
    return f"{facts.min_opset}–{facts.max_opset}" if facts.max_opset is not None else "not documented"


def _shown(group: "Group") -> str:
    text = str(group)
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE - 1] + "…"
