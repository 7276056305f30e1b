"""The drift analysis for people, as a table, and for programs, as JSON."""
import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from edgenext_deploy.export.precision.arithmetic import LITTLE_HEADROOM
from edgenext_deploy.export.precision.autopin import Proposal
from edgenext_deploy.export.precision.drift_records import DriftReport, Effect, NodeDrift

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = 1
_ROWS = 10


def print_drift(report: DriftReport, console: "Console", rows: int = _ROWS) -> None:
    """Print the effect on the logits and the worst nodes; docs/precision.md explains the columns."""
    from rich.table import Table

    for effect in (report.effect, report.worst_case):
        console.print(effect_line(effect), highlight=False, soft_wrap=True)
    shown = [node for node in report.worst() if node.precision == "fp16"]
    table = Table(title=f"Worst {min(rows, len(shown))} of {len(shown)} nodes in FP16 ({len(report.nodes)} nodes)",
                  title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="cyan")
    table.add_column("node", overflow="fold")
    for column in ("head-\nroom", "lost to\nzero", "over-\nflow", "inher-\nited", "added", "FP16\nsums", "alone"):
        table.add_column(column, justify="right", no_wrap=True)
    for node in shown[:rows]:
        table.add_row(
            node.name, _headroom(node), f"{node.flushed:.1%}", _overflow(node),
            *(_error(value) for value in (node.inherited, node.added, node.added_worst_case, node.alone)))
    console.print(table)


def print_proposal(proposal: Proposal, console: "Console") -> None:
    """Print the pins that were added, and what they change."""
    if not proposal.added:
        console.print(f"auto-pin: no further pin is needed for {proposal.tolerance:g} of the largest logit",
                      highlight=False)
        return
    console.print(f"auto-pin: {len(proposal.added)} further nodes in FP32, {proposal.runs} runs", highlight=False)
    for name, reason in proposal.added.items():
        console.print(f"  {name}: {reason}", highlight=False, soft_wrap=True)
    for label, effect in (("before", proposal.before), ("after", proposal.after), ("worst case", proposal.worst_case)):
        console.print(f"  {label}: {effect_line(effect)}", highlight=False, soft_wrap=True)
    if not proposal.pruned:
        console.print("  [yellow]not every pin was tried without: the limit on runs was reached[/]")


def effect_line(effect: Effect) -> str:
    """Return an effect on the outputs as one line."""
    sums = "sums in FP32" if effect.accumulate == "fp32" else "sums in FP16"
    error = "not finite" if math.isinf(effect.error) else f"{effect.error:.2%} of the largest logit"
    inside = f", {effect.non_finite} values not finite" if effect.non_finite else ""
    return (f"FP16 with {sums}: error {error}, cosine {effect.cosine:.6f}, top-1 agreement {effect.top1_agreement:.0%}"
            f"{inside} ({effect.samples} inputs)")


def drift_json(report: DriftReport, proposal: Proposal | None = None) -> bytes:
    """Return everything as JSON, the same bytes for the same analysis; infinite figures are the string ``inf``."""
    data: dict[str, Any] = {
        "schema": SCHEMA, "effect": report.effect, "worst_case": report.worst_case, "pins": report.pins,
        "worst": [node.name for node in report.worst()], "nodes": list(report.nodes)}
    if proposal is not None:
        data["proposal"] = proposal
    return (json.dumps(_plain(data), indent=1, allow_nan=False) + "\n").encode("utf-8")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return "inf" if math.isinf(value) else float(f"{value:.6g}")
    return value


def _headroom(node: NodeDrift) -> str:
    text = "inf" if math.isinf(node.headroom) else f"{node.headroom:.2g}x" if node.headroom < 10 else (
        f"{node.headroom:.0f}x")
    if node.headroom >= LITTLE_HEADROOM:
        return text
    return f"[red]{text}[/]" if node.headroom < 1 else f"[yellow]{text}[/]"


def _overflow(node: NodeDrift) -> str:
    return f"[red]{node.overflowed}[/]" if node.overflowed else "0"


def _error(value: float | None) -> str:
    if value is None:
        return "-"
    return "[red]inf[/]" if math.isinf(value) else "0" if value == 0 else f"{value:.1e}"
