"""Any ONNX file, read with suspicion and judged: ``edgenext-export check FILE.onnx``."""
import json
import os
from typing import TYPE_CHECKING, Any, Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file
from edgenext_deploy.targets import TARGETS, get_target

if TYPE_CHECKING:
    import onnx

    from edgenext_deploy.export.verdict.judge import Analysis, Group, Verdict

# Protobuf cannot hold more in one message.
_MAX_BYTES = 2**31 - 1
_FIX = "export it again, or copy it again if it was damaged on the way"


def load_model(path: str) -> "onnx.ModelProto":
    """Read a single-file ONNX model and check that it is one.

    Args:
        path: the ``.onnx`` file.

    Raises:
        BadInputError: missing, empty, a folder, truncated, not ONNX, over 2 GB, with external data, or
            refused by the ONNX checker.
    """
    import onnx

    from edgenext_deploy.export.verdict.nodes import tensors_of

    require_file(path, "ONNX file", _FIX)
    size_bytes = os.path.getsize(path)
    if size_bytes > _MAX_BYTES:
        raise BadInputError(
            f"{path}: {size_bytes} bytes found, a single-file ONNX model has at most {_MAX_BYTES}",
            "export a smaller model")
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        model = onnx.load_model_from_string(content)
    # Protobuf's own DecodeError; what else it may raise says no more.
    except Exception as error:
        raise BadInputError(f"{path} is not an ONNX file, or it is truncated ({size_bytes} bytes)",
                            _FIX) from error
    if not model.HasField("graph") or not model.graph.node:
        raise BadInputError(f"{path}: no graph found; it is not an ONNX model, or it is truncated", _FIX)
    for tensor in tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BadInputError(f"{path}: tensor {tensor.name!r} keeps its data in another file",
                                "save the model as one file: onnx.save(onnx.load(...), path)")
    try:
        onnx.checker.check_model(model, full_check=True)
    # The checker and the inference functions behind it raise many types; each says that the file is bad.
    except Exception as error:
        raise BadInputError(f"{path}: the ONNX checker refuses it: {_one_line(error)}", _FIX) from error
    return model


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text[:240] + "…") if len(text) > 240 else text or type(error).__name__


@click.command("check")
@click.argument("file", metavar="FILE.onnx", type=INPUT)
@target_option("Fail with exit code 4 unless this target can run the file: {names}.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, notes included.")
@common_options
def check_command(file: str, target: Optional[str], as_json: bool) -> None:
    """Say which TensorRT releases and targets can run FILE.onnx, and why the others cannot."""
    chosen = None if target is None else get_target(target)
    model = load_model(file)

    from edgenext_deploy.export.verdict import judge
    from edgenext_deploy.export.verdict.releases import documented_releases

    analysis = judge.analyse(model)
    verdicts = {release: judge.judge_analysis(analysis, release) for release in documented_releases()}
    refusals = {name: judge.target_problems(analysis, known) for name, known in TARGETS.items()}
    if as_json:
        click.echo(json.dumps(_as_json(file, analysis, verdicts, refusals), indent=2, ensure_ascii=False))
    else:
        _print(file, analysis, verdicts, refusals)
    if chosen is not None:
        judge.require_analysis(analysis, chosen)


def _as_json(file: str, analysis: "Analysis", verdicts: "dict[str, Verdict]",
             refusals: "dict[str, tuple[str, ...]]") -> "dict[str, Any]":
    from edgenext_deploy.export.verdict.judge import summary

    return {
        "file": file,
        "opset": analysis.opset,
        "ir_version": analysis.ir_version,
        "nodes": len(analysis.sites),
        "verdicts": summary(verdicts),
        "targets": {name: {"accepted": not problems, "problems": list(problems)}
                    for name, problems in refusals.items()},
    }


def _print(file: str, analysis: "Analysis", verdicts: "dict[str, Verdict]",
           refusals: "dict[str, tuple[str, ...]]") -> None:
    from rich.console import Console
    from rich.table import Table

    from edgenext_deploy.export.verdict.judge import group_findings

    groups = group_findings(verdicts.values())
    listed = [group for group in groups if group.severity != "note"]
    table = Table("TensorRT", "verdict", "opset", "problems")
    for release, judged in verdicts.items():
        numbers = [str(number) for number, group in enumerate(listed, 1) if release in group.releases]
        table.add_row(release, "supported" if judged.supported else "not supported", _opset_range(release),
                      ", ".join(numbers))
    count = len(analysis.sites)
    click.echo(f"{file}: opset {analysis.opset}, IR version {analysis.ir_version}, {count} nodes")
    Console(highlight=False).print(table)
    for number, group in enumerate(listed, 1):
        click.echo(f"{number:3d}. {group.severity}: {_shown(group)}")
    notes = len(groups) - len(listed)
    if notes:
        click.echo(f"{notes} note{'s' if notes > 1 else ''} not shown; --json has them")
    accepting = [name for name, problems in refusals.items() if not problems]
    click.echo("targets that can run it: " + (", ".join(accepting) or "none"))


def _opset_range(release: str) -> str:
    from edgenext_deploy.export.verdict.releases import get_release

    facts = get_release(release)
    return f"{facts.min_opset}–{facts.max_opset}" if facts.max_opset is not None else "not documented"


def _shown(group: "Group") -> str:
    text = str(group)
    return text if len(text) <= 300 else text[:299] + "…"
