"""A published table with measurements: published columns as printed, then measured ones, the rest empty."""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.compare import comparable
from edgenext_deploy.benchmarks.compare.comparable import Ratio
from edgenext_deploy.benchmarks.compare.reports import ratio_between
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.paper import suites
from edgenext_deploy.benchmarks.paper.suites import Published, Suite
from edgenext_deploy.benchmarks.statistics import Interval

KIND = "table"
SCHEMA = 1
# The columns that a table has even without a measurement.
_ALWAYS = (("nano", "Nano"), ("a100", "A100"), ("cpu", "ONNX Runtime"))


class Cell(NamedTuple):
    """A measured latency in a table.

    Attributes:
        p50_ms: milliseconds per inference.
        interval: interval of the p50, in milliseconds.
        ratio: latency over that of the reference row in the same column; None if the reference was not measured.
        flaws: what is known against the measurement.
        report: name of the report's file.
    """

    p50_ms: float
    interval: Optional[Interval]
    ratio: Optional[Ratio]
    flaws: Tuple[str, ...]
    report: str


class Column(NamedTuple):
    """Comparable measurements: one machine, one state, one way to run. `how` describes them; empty: not measured."""

    device: str
    heading: str
    how: str


class TableRow(NamedTuple):
    """A row: label in the paper, variant, published figures, and a cell or None for each column."""

    label: str
    variant: str
    in_the_paper: bool
    published: Published
    measured: Tuple[Optional[Cell], ...]


class FilledTable(NamedTuple):
    """A published table with measurements; `kind` is always ``table``."""

    kind: str
    schema: int
    name: str
    title: str
    source: str
    reference: str
    columns: Tuple[Column, ...]
    rows: Tuple[TableRow, ...]


def fill(suite: Suite, reports: Sequence[Tuple[str, LatencyReport]]) -> FilledTable:
    """Fill a table with the rows of reports.

    Args:
        suite: the table.
        reports: pairs of file name and report. Of two comparable rows of one variant, the later one counts.
    """
    by_setting: Dict[Tuple[str, str, str], Dict[str, Tuple[str, LatencyReport, LatencyRecord]]] = {}
    variants: Dict[str, None] = {}
    for name, report in reports:
        for row in report.records:
            if row.model is not None:
                by_setting.setdefault(_setting(row), {})[row.model.variant] = (name, report, row)
                variants[row.model.variant] = None
    listed = [row.variant for row in suite.rows]
    columns, cells = _columns(by_setting, suite.reference)
    labels = [(row.label, row.variant, True) for row in suite.rows]
    labels += [(variant, variant, False) for variant in variants if variant not in listed]
    rows = tuple(TableRow(label, variant, in_the_paper, suites.published_of(suite, variant),
                          tuple(column.get(variant) for column in cells))
                 for label, variant, in_the_paper in labels)
    return FilledTable(KIND, SCHEMA, suite.name, suite.title, suite.source, suite.reference, tuple(columns), rows)


def _columns(by_setting: Dict[Tuple[str, str, str], Dict[str, Tuple[str, LatencyReport, LatencyRecord]]],
             reference: str) -> Tuple[List[Column], List[Dict[str, Cell]]]:
    columns: List[Column] = []
    cells: List[Dict[str, Cell]] = []
    for device, title in _ALWAYS:
        here = [setting for setting in by_setting if setting[0] == device]
        if not here:
            columns.append(Column(device, title, ""))
            cells.append({})
        columns += [Column(*setting) for setting in here]
        cells += [_cells(by_setting[setting], reference) for setting in here]
    for setting, found in by_setting.items():
        if setting[0] not in dict(_ALWAYS):
            columns.append(Column(*setting))
            cells.append(_cells(found, reference))
    return columns, cells


def _cells(found: Dict[str, Tuple[str, LatencyReport, LatencyRecord]], reference: str) -> Dict[str, Cell]:
    base = found.get(reference)
    made: Dict[str, Cell] = {}
    for variant, (name, report, row) in found.items():
        ratio = None
        if base is not None:
            ratio = Ratio(1.0, None, True) if variant == reference else ratio_between(row, base[2], report, base[1])
        made[variant] = Cell(row.latency.p50_ms, row.latency.p50_interval, ratio, comparable.defects(row), name)
    return made


def _setting(row: LatencyRecord) -> Tuple[str, str, str]:
    """Return device, heading and everything else that two rows of a column have in common."""
    session = row.session
    runtime = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT", "torch": "PyTorch"}.get(
        str(session.get("runtime")), str(session.get("runtime")))
    title = dict(_ALWAYS).get(row.device, row.device)
    device = row.device
    if not row.device_matches:
        # A column of its own: it does not fill that of the device which was asked for.
        device, title = "not {}".format(device), "not on {}".format(title)
    heading = runtime if row.device == "cpu" else "{}, {}".format(title, runtime)
    how = ["{} {}".format(runtime, session.get("version")), row.device_found, *comparable.conditions(row)]
    return device, heading, ", ".join(how)
