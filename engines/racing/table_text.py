"""A race's table as lines of text."""
from typing import List, Optional

from edgenext_deploy.engines.racing.records import WON, Entrant, RaceTable, Timing

_NONE = "-"


def table_lines(table: RaceTable) -> List[str]:
    """Return a heading, one line for each entrant, and one for each formulation that is not in the bundle.

    Times are medians of the last heat that an entrant ran in, with their 95 % interval. Compare them within one heat
    only; the reasons give ratios that were.
    """
    budget = "" if table.budget_s is None else " of {:.3g}".format(table.budget_s / 60)
    lines = ["race of {} on {}: {} entrants, {:.1f}{} min".format(
        table.source, table.machine, len(table.entrants), table.spent_s / 60, budget)]
    gpu = any(one.measured is not None and one.measured.gpu is not None for one in table.entrants)
    built = any(one.build_s is not None for one in table.entrants)
    heading = ["", "entrant", "wall ms", *["GPU ms"] * gpu, *["build s"] * built, "FP32 pins", "MB", "error", "why"]
    rows = [heading] + [_row(one, gpu, built) for one in table.entrants]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading) - 1)]
    lines += ["  ".join([*("{:<{}}".format(text, width) for text, width in zip(row, widths)), row[-1]]).rstrip()
              for row in rows]
    lines += ["not in the bundle: {}: {}".format(name, reason) for name, reason in sorted(table.left_out.items())]
    return lines


def _row(entrant: Entrant, gpu: bool, built: bool) -> List[str]:
    measured, tested = entrant.measured, entrant.self_test
    row = ["*" if entrant.status == WON else "", entrant.name, _timing(None if measured is None else measured.wall)]
    if gpu:
        row.append(_timing(None if measured is None else measured.gpu))
    if built:
        row.append(_NONE if entrant.build_s is None else "{:.1f}".format(entrant.build_s))
    error = None if tested is None else tested.max_relative_error
    return [*row, str(entrant.fp32_pins), "{:.1f}".format(entrant.bytes / 1e6) if entrant.bytes else _NONE,
            _NONE if error is None else "{:.1g}".format(error), entrant.reason or entrant.status]


def _timing(timing: Optional[Timing]) -> str:
    if timing is None:
        return _NONE
    if timing.low_ms is None or timing.high_ms is None:
        return "{:.3f}".format(timing.p50_ms)
    return "{:.3f} ({:.3f}-{:.3f})".format(timing.p50_ms, timing.low_ms, timing.high_ms)
