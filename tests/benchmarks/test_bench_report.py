import io
import re

from bench_doubles import make_report, make_row

from edgenext_deploy.benchmarks import report as module
from edgenext_deploy.benchmarks.record import Comparison, WarmUp
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.manifest import Weights


def printed(report):
    stream = io.StringIO()
    module.print_report(report, stream)
    return stream.getvalue()


def test_the_sentence_about_two_rows():
    comparison = Comparison("a.onnx", "b.onnx", 1.2345, Interval(1.2, 1.26), 30)
    assert module.relative_speed(comparison) == "a.onnx is 1.23 × faster than b.onnx (interval 1.20–1.26)"


def test_no_winner_is_named_when_the_interval_holds_one():
    sentence = module.relative_speed(Comparison("a", "b", 1.01, Interval(0.98, 1.04), 30))
    assert sentence == "a and b: no difference shown (1.01 ×, interval 0.98–1.04)"


def test_a_difference_below_the_digits_shown_is_none():
    sentence = module.relative_speed(Comparison("a", "b", 1.003, Interval(1.001, 1.004), 300))
    assert sentence == "a and b: no difference shown (1.00 ×, interval 1.00–1.00)"
    assert "faster" in module.relative_speed(Comparison("a", "b", 1.02, Interval(1.01, 1.03), 300))


def test_without_an_interval_the_sentence_says_why():
    assert "too few rounds for an interval" in module.relative_speed(Comparison("a", "b", 1.5, None, 3))


def test_unlike_inputs_are_named():
    comparison = Comparison("a", "b", 1.5, Interval(1.4, 1.6), 30)
    alike = {"a": (1, 3, 256, 256), "b": (1, 3, 256, 256)}
    assert "inputs differ" not in module.relative_speed(comparison, alike)
    unlike = module.relative_speed(comparison, dict(alike, b=(8, 3, 256, 256)))
    assert unlike.endswith("their inputs differ: [1, 3, 256, 256] and [8, 3, 256, 256]")


def test_the_table_holds_every_figure_uncut():
    text = printed(make_report(make_row("x" * 40 + "[bold].onnx")))
    for figure in ("6.500", "6.400–6.600", "7.250", "9.000", "6.100", "6.600", "300", "151.5",
                   "random weights"):
        assert figure in text
    assert "[bold].onnx" in text.replace("\n", "")
    assert "…" not in text


def test_a_terminal_of_eighty_columns_loses_no_figure(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    module.print_report(make_report(make_row("edgenext_small_256.onnx")), stream)
    plain = re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())
    for figure in ("6.500", "6.400–6.600", "7.250", "9.000", "6.100", "6.600", "300", "151.5"):
        assert figure in plain
    table = plain.split("onnxruntime 1.10.0")[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "…" not in plain


def test_the_notes_say_what_the_numbers_depend_on():
    text = "\n".join(module.notes(make_report()))
    for part in ("onnxruntime 1.10.0", "CPUExecutionProvider", "2 threads", "Python ", "numpy ",
                 "0.25 s, 31 calls, stable", "edgenext-deploy 0.1.0", "Random weights: xxs.onnx"):
        assert part in text
    assert "Warning" not in text


def test_real_weights_are_not_called_random():
    model = make_row().model._replace(weights=Weights("edgenext_xxs.pth", False, "cd" * 32))
    text = printed(make_report(make_row(model=model)))
    assert "andom weights" not in text
    assert "edgenext_xxs.pth" in text


def test_warnings_name_the_rows_they_are_about():
    rows = (make_row("good"), make_row("cold", warmup=WarmUp(3000.0, 9, False)),
            make_row("restless", stable=False, window_spread=0.31))
    warnings = [line for line in module.notes(make_report(*rows)) if line.startswith("Warning")]
    assert len(warnings) == 2
    assert "cold" in warnings[0]
    assert "--warmup" in warnings[0]
    assert "restless" in warnings[1]
    assert "31 %" in warnings[1]


def test_an_interrupted_run_says_so():
    assert "Interrupted" in module.notes(make_report(interrupted=True))[-1]


def test_what_is_unknown_is_called_unknown():
    row = make_row(session={}, model=None)
    row = row._replace(host=row.host._replace(
        processor=None, board=None, governor=None, load_average=None, cores=None))
    text = printed(make_report(row))
    assert "governor unknown" in text
    assert "load unknown" in text
    assert "no manifest" in text
    assert "None" not in text
