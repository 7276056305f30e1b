"""The one screen at the end of an export."""
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.artifacts.nms_plugin import OP
from edgenext_deploy.export.adoption.older_operators import RULES as ADOPTION_RULES
from edgenext_deploy.export.device_build import build_command
from edgenext_deploy.export.lowering.context import RULES
from edgenext_deploy.export.precision.drift_report import print_drift, print_proposal
from edgenext_deploy.export.result import ExportResult
from edgenext_deploy.preprocess.words import in_words
from edgenext_deploy.targets import get_target

if TYPE_CHECKING:
    from rich.console import Console


# What a parity error is a part of, by task.
_LARGEST = {"classification": "logit", "detection": "value of an output", "segmentation": "logit",
            "features": "feature"}


def print_report(result: ExportResult, console: "Console", plan: str | None = None,
                 further: Iterable[str] = ()) -> None:
    """Print what was written, how it was checked, and the next commands; `further` ones come last."""
    from rich.markup import escape
    from rich.table import Table

    manifest, target = result.manifest, get_target(result.manifest.target)
    precision = manifest.precision
    console.print(f"[bold]{manifest.variant}[/] for [bold]{target.name}[/] ({target.title})")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    source = escape(manifest.weights.source)
    table.add_row("weights", f"[yellow]{source}[/]" if manifest.weights.random else source)
    table.add_row("input", f"{_tensors(manifest.inputs)}, {in_words(manifest.preprocessing)}")
    table.add_row("output", _tensors(manifest.outputs))
    table.add_row("lowering", "\n".join(
        f"{count:3d} x {(RULES | ADOPTION_RULES)[rule]}" for rule, count in manifest.lowering["rules"].items()))
    table.add_row("graph", f"opset {manifest.graph.opset}, IR {manifest.graph.ir_version}, formulation "
                  f"{manifest.lowering['formulation']}, {sum(result.emitted_operators.values())} nodes, "
                  f"{manifest.lowering['nodes']} after the simplifier{' and with the Casts' * (precision.casts > 0)}")
    table.add_row("operators", _operator_line(result))
    table.add_row("TensorRT", _verdict_line(manifest.verdicts))
    table.add_row("builder", _rtx_line(result))
    table.add_row("precision", _precision_line(result))
    parity = manifest.parity
    digits = 0 if manifest.task == "classification" else 2
    agreement = f", top-1 agreement {parity.top1_agreement:.{digits}%}" if manifest.task != "features" else ""
    table.add_row("parity", f"[green]ok[/]: largest difference {parity.max_absolute_error:.2g}, "
                  f"{parity.max_relative_error:.2g} of the largest {_LARGEST[manifest.task]} ({parity.tolerance:g} "
                  f"allowed), cosine {parity.min_cosine:.6f}{agreement} "
                  f"on {parity.inputs} inputs")
    table.add_row("files", f"{escape(result.onnx_path)}  {manifest.graph.bytes / 2**20:.2f} MiB  "
                  f"sha256 {manifest.graph.sha256[:16]}…\n"
                  + "\n".join(map(escape, (result.manifest_path, *result.other_paths))))
    if result.nms is not None:
        nms = result.nms
        table.add_row("NMS", f"{escape(nms.onnx_path)}\n{escape(nms.manifest_path)}\n"
                      f"This graph ends in TensorRT's plugin {OP}, which only TensorRT runs: not run here. "
                      "All checks above are of the graph without it.")
    console.print(table)
    if result.precision.proposal is not None:
        print_proposal(result.precision.proposal, console)
    if result.precision.drift is not None:
        print_drift(result.precision.drift, console)
    for note in result.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True, highlight=False)
    for warning in result.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    console.print("next:", highlight=False)
    for command in [*next_commands(result, plan), *further]:
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def next_commands(result: ExportResult, plan: str | None = None) -> list[str]:
    """Return the commands to paste: try it here, then take it to the device, or go on with the plan built here."""
    if plan is not None:
        return _commands_here(plan, result)
    commands = _commands_here(result.onnx_path, result)
    if get_target(result.manifest.target).tensorrt:
        manifest_path = result.manifest_path if result.nms is None else result.nms.manifest_path
        commands.append(f"scp {shlex.quote(result.engine_path)} {shlex.quote(manifest_path)} DEVICE:")
        commands.append(f"{build_command(result.engine_path)}        # there")
    return commands


def _commands_here(engine: str, result: ExportResult) -> list[str]:
    quoted = shlex.quote(engine)
    photos = "PHOTO.jpg" if result.manifest.inputs[0].shape[0] == 1 else "PHOTOS/"
    return [f"edgenext-run {quoted} {photos}", f"edgenext-bench {quoted}"]


def as_data(result: ExportResult, plan: str | None = None, further: Iterable[str] = ()) -> dict[str, Any]:
    """Return the result as JSON data, with `further` commands at the end; the manifest on disk holds the rest."""
    manifest = result.manifest
    return {
        "variant": manifest.variant, "target": manifest.target, "weights": manifest.weights._asdict(),
        "onnx": result.onnx_path, "manifest": result.manifest_path,
        "nms_plugin": None if result.nms is None else {
            "onnx": result.nms.onnx_path, "manifest": result.nms.manifest_path,
            "verdicts": {release: verdict["supported"] for release, verdict in result.nms.manifest.verdicts.items()}},
        "bytes": manifest.graph.bytes,
        "sha256": manifest.graph.sha256, "opset": manifest.graph.opset, "ir_version": manifest.graph.ir_version,
        "nodes": manifest.lowering["nodes"], "operators_before": result.emitted_operators,
        "operators": result.operators,
        "lowering": manifest.lowering, "precision": manifest.precision._asdict(),
        "verdicts": {release: verdict["supported"] for release, verdict in manifest.verdicts.items()},
        "parity": manifest.parity._asdict(), "tensorrt_rtx": result.rtx.to_json(), "notes": list(result.notes),
        "warnings": list(result.warnings),
        "plan": plan, "next": [*next_commands(result, plan), *further],
    }


def _tensors(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)


def _operator_line(result: ExportResult) -> str:
    """Return the operator counts; where the simplifier changed one, before and after."""
    return ", ".join(
        f"{op} {count}" if result.operators.get(op, 0) == count else f"{op} {count} to {result.operators.get(op, 0)}"
        for op, count in result.emitted_operators.items())


def _verdict_line(verdicts: dict[str, Any]) -> str:
    able = [release for release, verdict in verdicts.items() if verdict["supported"]]
    unable = [release for release in verdicts if release not in able]
    from rich.markup import escape

    line = f"[green]can run it:[/] {' '.join(able) or 'none'}" + (
        f"; [yellow]cannot:[/] {' '.join(unable)}" if unable else "")
    problems: dict[str, list[str]] = {}
    for release, verdict in verdicts.items():
        for finding in verdict["findings"]:
            if finding["severity"] == "error":
                text = f"{finding['op'] + ': ' if finding['op'] else ''}{finding['reason']}"
                problems.setdefault(text, []).append(release)
    return "\n".join([line, *(f"{_span(releases)}: {escape(text)}" for text, releases in list(problems.items())[:4])])


def _span(releases: Iterable[str]) -> str:
    names = list(releases)
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _rtx_line(result: ExportResult) -> str:
    from rich.markup import escape

    report = result.rtx
    if not report.available:
        return f"TensorRT-RTX: not run, {escape(report.reason)}"
    builds = ", ".join(f"SM{build.sm} {build.seconds:.1f} s" for build in report.builds)
    return f"[green]ok[/]: parsed and built by TensorRT-RTX {report.version} ({builds})"


def _precision_line(result: ExportResult) -> str:
    precision = result.manifest.precision
    if precision.requested == "fp32":
        return "FP32"
    pinned = sum(len(names) for names in precision.fp32_pins.values())
    if precision.mode == "flag":
        how = f"by builder flag: the graph stays FP32, the manifest has the builder pin {pinned} nodes to FP32"
    else:
        how = f"typed: weights FP16, {pinned} nodes in FP32 between {precision.casts} Casts"
    return f"FP16 for {precision.fp16_share:.1%} of the multiply-adds, {how}"
