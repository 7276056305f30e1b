"""A filled table for people: published columns are marked, measured ones follow, and empty ones are visibly empty."""
from typing import Dict, List, Optional, TextIO, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.benchmarks.compare.compare_text import ratio_text
from edgenext_deploy.benchmarks.paper.suites import Published
from edgenext_deploy.benchmarks.paper.table import FilledTable, TableRow
from edgenext_deploy.benchmarks.report.printing import (
    EMPTY,
    Table,
    console_for,
    milliseconds,
    number,
    print_line,
    print_table,
)

NOT_MEASURED = "not measured"
# The published columns, in their order, and the field of `suites.Published` that each shows.
_PUBLISHED = {"input": "input_side", "top-1 %": "top1", "mAP %": "coco_map", "mIoU %": "voc_miou",
              "params M": "parameters_m", "MAdds M": "madds_m", "A100 µs": "a100_us", "Nano ms": "nano_ms"}
_MARK = "†"
_METHODS = {
    "A100 µs": "A100 µs: 1 / throughput at batch 256 (A100 40 GB, PyTorch 1.8.1); not the latency of one image.",
    "Nano ms": "Nano ms: Jetson Nano, TensorRT, FP16, batch 1; how it was measured is nowhere stated.",
}
_COUNTS = "MAdds: MobileViT's were counted by another profiler than EdgeNeXt's."


def headings(table: FilledTable) -> List[str]:
    """Return the headings: published columns first, marked; then one for each way of measuring, with its ratios."""
    found = ["model", *["{} {}".format(name, _MARK) for name in published_names(table)]]
    for index, column in enumerate(table.columns):
        if column.how:
            found.append("{} ms, measured{}".format(column.heading, _number(index, table)))
            if _has_ratios(index, table):
                found.append("× {}{}".format(table.reference, _number(index, table)))
        else:
            found.append("{} ms, {}".format(column.heading, NOT_MEASURED))
    return found


def row_cells(table: FilledTable, row: TableRow) -> List[str]:
    """Return the cells of a row under `headings`."""
    found = row.published
    figures = dict(zip(_PUBLISHED, (
        EMPTY if found.input_side is None else "{0}×{0}".format(found.input_side), _printed(found.top1, 1),
        _printed(found.coco_map, 1), _printed(found.voc_miou, 1), _printed(found.parameters_m, 1),
        _printed(found.madds_m, 0), number(found.a100_us, 0), _printed(found.nano_ms, 1))))
    label = row.label if row.in_the_paper else "{} (not in this table)".format(row.label)
    cells = [label, *[figures[name] for name in published_names(table)]]
    for index, cell in enumerate(row.measured):
        cells.append(EMPTY if cell is None else milliseconds(cell.p50_ms) + (" !" if cell.flaws else ""))
        if _has_ratios(index, table):
            cells.append(EMPTY if cell is None or cell.ratio is None else ratio_text(cell.ratio))
    return cells


def notes(table: FilledTable) -> List[str]:
    """Return what the columns mean, and what is known against single measurements."""
    names = published_names(table)
    lines = ["{} Published: {}.".format(_MARK, table.source), *_other_sources(table)]
    lines += [method for name, method in _METHODS.items() if name in names]
    if "MAdds M" in names and any(row.variant.startswith("mobilevit") for row in table.rows):
        lines.append(_COUNTS)
    for index, column in enumerate(table.columns):
        if column.how:
            lines.append("Measured{}: {}.".format(_number(index, table), column.how))
    lines.append("× {0}: as many times as long as {0} in the same column; ! see below.".format(table.reference))
    for row in table.rows:
        lines += ["! {}: {}".format(row.key, "; ".join(cell.flaws)) for cell in row.measured
                  if cell is not None and cell.flaws]
    return lines


def caption(table: FilledTable) -> str:
    """Return the table's title."""
    return "{} ({}); p50, ms per inference".format(table.title, table.name)


def print_filled(table: FilledTable, stream: TextIO) -> None:
    """Print the table and its notes."""
    console = console_for(stream)
    print_table(console, Table(caption(table), headings(table), [row_cells(table, row) for row in table.rows]))
    for line in notes(table):
        print_line(console, line)


def dump_filled(table: FilledTable) -> bytes:
    """Return the table as JSON."""
    return json_records.dump(table)


def published_names(table: FilledTable) -> Tuple[str, ...]:
    """Return the published columns that have any figure."""
    return tuple(name for name in _PUBLISHED if any(
        getattr(row.published, _PUBLISHED[name]) is not None for row in table.rows if row.in_the_paper))


def _printed(value: Optional[float], digits: int) -> str:
    """Return a published figure with the digits of its source, and at least `digits` after the point."""
    text = number(value, digits)
    return text if value is None or float(text) == value else "{:g}".format(value)


def _other_sources(table: FilledTable) -> List[str]:
    """Return where the figures are from that the table of the paper does not have itself."""
    found: Dict[str, Dict[Tuple[str, ...], List[str]]] = {}
    for row in table.rows:
        for source in dict.fromkeys(row.published.sources):
            if source not in (None, table.source):
                names = tuple(name for name in published_names(table)
                              if row.published.sources[Published._fields.index(_PUBLISHED[name])] == source)
                if names:
                    found.setdefault(str(source), {}).setdefault(names, []).append(row.variant)
    return ["{} {}: {}.".format(_MARK, source, "; ".join("{} of {}".format(", ".join(names), ", ".join(variants))
                                                        for names, variants in parts.items()))
            for source, parts in found.items()]


def _has_ratios(index: int, table: FilledTable) -> bool:
    cells = [row.measured[index] for row in table.rows]
    return any(cell is not None and cell.ratio is not None for cell in cells)


def _number(index: int, table: FilledTable) -> str:
    """Return a number for a measured column when there are several."""
    measured = [place for place, column in enumerate(table.columns) if column.how]
    return "" if len(measured) < 2 else " [{}]".format(measured.index(index) + 1)
