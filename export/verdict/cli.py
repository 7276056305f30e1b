"""``edgenext-export check FILE.onnx``: which TensorRT releases and targets can run it. Loads under Python 3.6 too."""
from typing import TYPE_CHECKING, Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import Command, examples, json_options, write_result

if TYPE_CHECKING:
    from edgenext_deploy.export.verdict.check import Verdicts
    from edgenext_deploy.export.verdict.findings import Group

_LONGEST_LINE = 300


@click.command(
    "check", cls=Command, context_settings={"max_content_width": 110},
    short_help="Say which TensorRT releases can run an ONNX file.", epilog=examples(
        "edgenext-export check model.onnx", "edgenext-export check model.onnx --target nano",
        "edgenext-export check model.onnx --json"))
@click.argument("file", metavar="FILE.onnx", type=INPUT)
@target_option("Fail with exit code 4 unless this target can run the file: {names}.")
@json_options
@common_options
def check_command(file: str, target: Optional[str], as_json: bool, json_file: Optional[str]) -> None:
    """Say which TensorRT releases and targets can run FILE.onnx, and why the others cannot.

    The file may come from anywhere. It is read, never run.
    """
    require_libraries("checking an ONNX file", ("onnx",))
    from edgenext_deploy.export.verdict.check import check_onnx
    from edgenext_deploy.targets import get_target

    if target is not None:
        get_target(target)  # a wrong name is an error before the tables
    verdicts = check_onnx(file)
    write_result(verdicts.to_json(), as_json, json_file, lambda: _print(verdicts), ensure_ascii=False)
    if target is not None:
        verdicts.require(target)


def _print(verdicts: "Verdicts") -> None:
    from rich.table import Table

    from edgenext_deploy.commands.screen import make_console
    from edgenext_deploy.export.verdict.findings import group_findings

    groups = group_findings(verdicts.releases.values())
    listed = [group for group in groups if group.severity != "note"]
    table = Table("TensorRT", "verdict", "opset", "problems")
    for release, judged in verdicts.releases.items():
        numbers = [str(number) for number, group in enumerate(listed, 1) if release in group.releases]
        table.add_row(release, "supported" if judged.supported else "not supported", _opset_range(release),
                      ", ".join(numbers))
    click.echo(f"{verdicts.path}: opset {verdicts.opset}, IR version {verdicts.ir_version}, {verdicts.nodes} nodes")
    make_console(highlight=False).print(table)
    for number, group in enumerate(listed, 1):
        click.echo(f"{number:3d}. {group.severity}: {_shown(group)}")
    notes = len(groups) - len(listed)
    if notes:
        click.echo(f"{notes} note{'s' if notes > 1 else ''} not shown; --json has them")
    click.echo("targets that can run it: " + (", ".join(verdicts.targets) or "none"))


def _opset_range(release: str) -> str:
    from edgenext_deploy.export.verdict.releases import get_release

    facts = get_release(release)
    return f"{facts.min_opset}–{facts.max_opset}" if facts.max_opset is not None else "not documented"


def _shown(group: "Group") -> str:
    text = str(group)
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE - 1] + "…"
