"""An evaluation as JSON and as tables."""
import json
from typing import Any, Dict, List, Optional, TextIO

from edgenext_deploy.benchmarks.accuracy.evaluate import EngineResult, Evaluation
from edgenext_deploy.benchmarks.report.printing import Table, console_for, print_line, print_table
from edgenext_deploy.files import shown
from edgenext_deploy.preprocess.photo import photo_decoder
from edgenext_deploy.version import __version__

SCHEMA = 1
_NAMED = 10


def to_document(evaluation: Evaluation) -> Dict[str, Any]:
    """Return the evaluation as a JSON object; `docs/evaluation.md` describes it."""
    engines = []
    for result in evaluation.engines:
        metrics: Dict[str, Any] = {}
        for metric in result.metrics:
            metrics[metric.key] = metric.value
            if metric.low is not None:
                metrics[metric.key + "_low"], metrics[metric.key + "_high"] = metric.low, metric.high
        engine = dict(result.engine, metrics=metrics, **result.details)
        if result.comparison:
            engine["against_first"] = result.comparison
        engines.append(engine)
    return {
        "schema": SCHEMA, "toolkit_version": __version__, "task": evaluation.task,
        "data": {"description": evaluation.data.description, "sha256": evaluation.data.sha256,
                 "available": evaluation.data.total, "images": len(evaluation.data.items)},
        "decoder": photo_decoder(), "used": evaluation.used, "turned_upright": evaluation.turned,
        "unreadable": evaluation.unreadable, "engines": engines}


def dump(evaluation: Evaluation) -> bytes:
    """Return the JSON, indented, with a final newline."""
    return (json.dumps(to_document(evaluation), indent=2, allow_nan=False) + "\n").encode("ascii")


def print_report(evaluation: Evaluation, stream: TextIO) -> None:
    """Print what was evaluated, a table of the engines, and how each compares with the first."""
    console = console_for(stream)
    data = evaluation.data
    print_line(console, "{} of {} images: {}".format(evaluation.used, data.total, shown(data.description)))
    headings = ["engine"]
    for metric in evaluation.engines[0].metrics:
        headings += [metric.title, "95 %"] if metric.low is not None else [metric.title]
    rows = []
    for result in evaluation.engines:
        cells = [shown(result.engine["file"]) + (" (random weights)" if result.engine["weights"]["random"] else "")]
        for metric in result.metrics:
            cells.append(_percent(metric.value))
            if metric.low is not None:
                cells.append("{} – {}".format(_percent(metric.low), _percent(metric.high)))
        rows.append(cells)
    print_table(console, Table("Accuracy", headings, rows))
    for result in evaluation.engines:
        print_line(console, "{}: {}".format(shown(result.engine["file"]), result.engine["preprocessing"]))
    for result in evaluation.engines[1:]:
        for line in _comparison(evaluation, result):
            print_line(console, line)


def _comparison(evaluation: Evaluation, result: EngineResult) -> List[str]:
    first, comparison = evaluation.engines[0], result.comparison
    names = shown(result.engine["file"]), shown(first.engine["file"])
    if "agreement" not in comparison:
        metric = result.metrics[0]
        return ["{} against {}: {} {}".format(*names, metric.title, _points(comparison["differences"][metric.key]))]
    lines = [
        "{} against {}: top-1 {} (95 %: {} to {}), McNemar p = {:.3g}".format(
            *names, _points(comparison["top1_difference"]), _points(comparison["top1_difference_low"]),
            _points(comparison["top1_difference_high"]), comparison["mcnemar_p"]),
        "  same answer on {} of the images; only the first is right on {}, only the second on {}".format(
            _percent(comparison["agreement"]), comparison["only_first_right"], comparison["only_second_right"])]
    changed = comparison["changed"]
    for change in changed[:_NAMED]:
        lines.append("  {image}: class {first} became {second}, the truth is {truth}".format(
            **dict(change, image=shown(change["image"]))))
    if len(changed) > _NAMED:
        lines.append("  and {} more; --json has them all".format(len(changed) - _NAMED))
    return lines


def _percent(value: Optional[float]) -> str:
    return "–" if value is None else "{:.2%}".format(value)


def _points(value: Optional[float]) -> str:
    return "–" if value is None else "{:+.2f} points".format(100 * value)
