"""The formulations of a network as a table for people."""
import math
from typing import TYPE_CHECKING

from edgenext_deploy.export.survey.candidates import Candidate, FormulationReport

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("formulation", "kernels", "MB moved", "FP32 nodes", "Casts", "FP16 drift", "parity", "RTX layers",
            "verdict")


def print_formulations(report: FormulationReport, console: "Console") -> None:
    """Print the table, and why candidates are out."""
    from rich.markup import escape
    from rich.table import Table

    _, _, height, width = report.shape
    console.print(f"[bold]{report.variant}[/] for [bold]{report.target}[/], {height}x{width}, "
                  f"{'FP16' if report.fp16 else 'FP32'}, weights: {escape(report.weights)}")
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="cyan")
    for heading in HEADINGS:
        # A name is what --formulation takes: in 80 columns, it is the verdict that is broken.
        table.add_column(heading.replace(" ", "\n"), no_wrap=heading != "verdict", overflow="fold",
                         justify="left" if heading in ("formulation", "verdict") else "right")
    for candidate in report.candidates:
        table.add_row(*map(escape, row_of(candidate)))
    console.print(table)
    for candidate in report.candidates:
        if candidate.out and not candidate.same_as:
            console.print(f"{candidate.name} is out: {escape(candidate.out)}")
    if report.fp16:
        console.print(f"FP16 drift: error of the largest value of an output with every sum in FP16, emulated, the "
                      f"worst over {report.samples} inputs; {report.tolerance:g} is allowed")
    console.print("Kernels and MB moved are counted in the graph. What a device is fast at, a measurement there shows.")


def row_of(candidate: Candidate) -> tuple[str, ...]:
    """Return the cells of one candidate, as in `HEADINGS`."""
    verdict = f"same as {candidate.same_as}" if candidate.same_as else "out" if candidate.out else "may run"
    return (candidate.name, str(candidate.kernels), f"{candidate.traffic_bytes / 1e6:.1f}", str(candidate.fp32_nodes),
            _or_dash(candidate.casts), _drift(candidate.drift), f"{candidate.parity:.0e}",
            _or_dash(candidate.rtx_layers), verdict)


def _or_dash(value: int | None) -> str:
    return "–" if value is None else str(value)


def _drift(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if math.isfinite(value) else "overflows"
