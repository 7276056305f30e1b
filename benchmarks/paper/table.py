"""A published table with measurements: published columns as printed, then measured ones, the rest empty."""
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.compare import comparable
from edgenext_deploy.benchmarks.compare.comparable import Ratio
from edgenext_deploy.benchmarks.compare.reports import ratio_between
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.paper import suites
from edgenext_deploy.benchmarks.paper.suites import Published, Suite
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.runtime.table import RUNTIMES

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
    """A row: label in the paper, variant, published figures, and a cell or None for each column.

    `key` is `SuiteRow.key`; the variant of a network that is not ours is the network's name.
    """

    label: str
    variant: str
    key: str
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


def fill(suite: Suite, reports: Sequence[Tuple[str, LatencyReport]],
         files: Optional[Mapping[str, str]] = None) -> FilledTable:
    """Fill a table with the rows of reports.

    Args:
        suite: the table.
        reports: pairs of file name and report. Of two comparable rows of one variant, the later one counts.
        files: names of engine files, and the `SuiteRow.key` that each stands for.
    """
    by_setting: Dict[Tuple[str, str, str], Dict[str, Tuple[str, LatencyReport, LatencyRecord]]] = {}
    others: Dict[str, str] = {}
    listed = {row.key for row in suite.rows}
    for name, report in reports:
        for row in report.records:
            key = _key(suite, row, files or {})
            if key is not None:
                by_setting.setdefault(_setting(suite, row), {})[key] = (name, report, row)
                if key not in listed and row.model is not None:
                    others[key] = row.model.variant
    columns, cells = _columns(by_setting, suite)
    labels = [(row.label, row.variant, row.key, True, row.printed) for row in suite.rows]
    labels += [(key, variant, key, False, None) for key, variant in others.items()]
    rows = tuple(TableRow(label, variant, key, in_the_paper, printed or suites.published_of(suite, variant),
                          tuple(column.get(key) for column in cells))
                 for label, variant, key, in_the_paper, printed in labels)
    return FilledTable(KIND, SCHEMA, suite.name, suite.title, suite.source, suite.reference, tuple(columns), rows)


def _key(suite: Suite, row: LatencyRecord, files: Mapping[str, str]) -> Optional[str]:
    """Return the key of the table's row that a measured one belongs to; None for an unknown network."""
    if row.engine.file in files:
        return files[row.engine.file]
    if row.model is None:
        return None
    fitting = [line.key for line in suite.rows if line.native and line.variant == row.model.variant
               and line.image_size in (None, *row.input_shape[2:3])]
    return (fitting or [row.model.variant])[0]


def _columns(by_setting: Dict[Tuple[str, str, str], Dict[str, Tuple[str, LatencyReport, LatencyRecord]]],
             suite: Suite) -> Tuple[List[Column], List[Dict[str, Cell]]]:
    columns: List[Column] = []
    cells: List[Dict[str, Cell]] = []
    for device, title in _ALWAYS:
        here = [setting for setting in by_setting if setting[0] == device]
        if not here:
            columns.append(Column(device, title, ""))
            cells.append({})
        columns += [Column(*setting) for setting in here]
        cells += [_cells(by_setting[setting], suite) for setting in here]
    for setting, found in by_setting.items():
        if setting[0] not in dict(_ALWAYS):
            columns.append(Column(*setting))
            cells.append(_cells(found, suite))
    return columns, cells


def _cells(found: Dict[str, Tuple[str, LatencyReport, LatencyRecord]], suite: Suite) -> Dict[str, Cell]:
    base = found.get(suite.reference)
    sides = {line.key: line.image_size for line in suite.rows}
    made: Dict[str, Cell] = {}
    for key, (name, report, row) in found.items():
        ratio = None
        if base is not None:
            ratio = Ratio(1.0, None, True) if key == suite.reference else ratio_between(row, base[2], report, base[1])
        flaws = comparable.defects(row)
        if sides.get(key) not in (None, *row.input_shape[2:3]):  # a file that the user has named
            flaws += ("its input is {}, that of the row {}".format("×".join(map(str, row.input_shape)), sides[key]),)
        made[key] = Cell(row.latency.p50_ms, row.latency.p50_interval, ratio, flaws, name)
    return made


def _setting(suite: Suite, row: LatencyRecord) -> Tuple[str, str, str]:
    """Return device, heading and everything else that two rows of a column have in common."""
    session = row.session
    name = str(session.get("runtime"))
    runtime = RUNTIMES[name].title if name in RUNTIMES else {"torch": "PyTorch"}.get(name, name)
    title = dict(_ALWAYS).get(row.device, row.device)
    device = row.device
    if not row.device_matches:
        # A column of its own: it does not fill that of the device which was asked for.
        device, title = "not {}".format(device), "not on {}".format(title)
    heading = runtime if row.device == "cpu" else "{}, {}".format(title, runtime)
    # In the paper's own tables the input may be another one in each row.
    sized = any(line.image_size is not None for line in suite.rows)
    conditions = [text for text in comparable.conditions(row) if not (sized and text.startswith("input "))]
    how = ["{} {}".format(runtime, session.get("version")), row.device_found, *conditions]
    return device, heading, ", ".join(how)
