import io
import re

from bench_doubles import make_nano_row, make_report, make_row

from edgenext_deploy.artifacts.manifest import Weights
from edgenext_deploy.benchmarks.latency.cautions import cautions_of
from edgenext_deploy.benchmarks.latency_report import Caution, Comparison, OutputCheck, WarmUp
from edgenext_deploy.benchmarks.report import sentences
from edgenext_deploy.benchmarks.report import terminal as module
from edgenext_deploy.benchmarks.statistics import Interval


def printed(report):
    stream = io.StringIO()
    module.print_report(report, stream)
    return stream.getvalue()


def test_the_sentence_about_two_rows():
    comparison = Comparison("a.onnx", "b.onnx", 1.2345, Interval(1.2, 1.26), 30)
    assert sentences.relative_speed(comparison) == "a.onnx is 1.23 × faster than b.onnx (interval 1.20–1.26)"


def test_no_winner_is_named_when_the_interval_holds_one():
    sentence = sentences.relative_speed(Comparison("a", "b", 1.01, Interval(0.98, 1.04), 30))
    assert sentence == "a and b: no difference shown (1.01 ×, interval 0.98–1.04)"


def test_a_difference_below_the_digits_shown_is_none():
    sentence = sentences.relative_speed(Comparison("a", "b", 1.003, Interval(1.001, 1.004), 300))
    assert sentence == "a and b: no difference shown (1.00 ×, interval 1.00–1.00)"
    assert "faster" in sentences.relative_speed(Comparison("a", "b", 1.02, Interval(1.01, 1.03), 300))


def test_without_an_interval_the_sentence_says_why():
    assert "too few rounds for an interval" in sentences.relative_speed(Comparison("a", "b", 1.5, None, 3))


def test_unlike_inputs_are_named():
    comparison = Comparison("a", "b", 1.5, Interval(1.4, 1.6), 30)
    alike = {"a": make_row("a"), "b": make_row("b")}
    assert "inputs differ" not in sentences.relative_speed(comparison, alike)
    unlike = sentences.relative_speed(comparison, dict(alike, b=make_row("b", input_shape=(8, 3, 256, 256))))
    assert unlike.endswith("their inputs differ: [1, 3, 256, 256] and [8, 3, 256, 256]")


def test_the_table_holds_every_figure_uncut():
    text = printed(make_report(make_row("x" * 40 + "[bold].onnx")))
    for figure in ("6.500", "6.400–6.600", "7.250", "9.000", "6.100", "6.600", "300", "151.5",
                   "random weights"):
        assert figure in text
    assert "[bold].onnx" in text.replace("\n", "")
    assert not [line for line in text.splitlines() if line.endswith(" ")]
    assert "…" not in text


def printed_at_a_terminal(monkeypatch, columns, row):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    module.print_report(make_report(row), stream)
    return re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())


FIGURES = ("6.500", "6.400–6.600", "7.250", "9.000", "6.100", "6.600", "300", "151.5")


def test_a_terminal_of_eighty_columns_loses_no_figure(monkeypatch):
    plain = printed_at_a_terminal(monkeypatch, 80, make_row("edgenext_small_256.onnx"))
    assert all(figure in plain for figure in FIGURES)
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "…" not in plain


def test_a_narrower_terminal_breaks_neither_a_figure_nor_a_name(monkeypatch):
    plain = printed_at_a_terminal(monkeypatch, 45, make_row("edgenext_small_256.onnx"))
    assert all(figure in plain for figure in FIGURES)
    assert "edgenext_small_256.onnx" in plain.split("What was measured")[0]
    assert "…" not in plain
    assert all(len(line) <= 45 for line in plain.split("Runs on")[1].splitlines())


def test_the_notes_say_what_the_numbers_depend_on():
    text = "\n".join(sentences.notes(make_report()))
    for part in ("onnxruntime 1.10.0", "CPUExecutionProvider", "2 threads", "Python 3.6.9", "numpy 1.19.5",
                 "0.25 s, 31 calls, stable", "edgenext-deploy 0.1.0", "Random weights: xxs.onnx"):
        assert part in text
    assert "Warning" not in text


def test_real_weights_are_not_called_random():
    model = make_row().model._replace(weights=Weights("edgenext_xxs.pth", False, "cd" * 32))
    text = printed(make_report(make_row(model=model)))
    assert "andom weights" not in text
    assert "edgenext_xxs.pth" in text


def test_warnings_name_the_rows_they_are_about():
    rows = [make_row("good"), make_row("cold", warmup=WarmUp(3000.0, 9, False)),
            make_row("restless", stable=False, window_spread=0.31)]
    rows = [row._replace(cautions=cautions_of(row)) for row in rows]
    warnings = [line for line in sentences.notes(make_report(*rows)) if line.startswith("Warning")]
    assert len(warnings) == 2
    assert "cold" in warnings[0]
    assert "--warmup" in warnings[0]
    assert "restless" in warnings[1]
    assert "31 %" in warnings[1]
    more = make_row("jumpy", stable=False, window_spread=0.5)
    rows.append(more._replace(cautions=cautions_of(more)))
    lines = [line for line in sentences.notes(make_report(*rows)) if line.startswith("Warning (unstable)")]
    assert len(lines) == 1
    assert "restless (31 %), jumpy (50 %): the medians of fifths of the run lie so far apart, more than 5 %" in lines[0]


def test_an_interrupted_run_says_so():
    assert "Interrupted" in sentences.notes(make_report(interrupted=True))[-1]


def test_what_is_unknown_is_called_unknown():
    row = make_row(session={}, model=None)
    row = row._replace(host=row.host._replace(
        processor=None, board=None, governor=None, load_average=None, cores=None))
    text = printed(make_report(row))
    assert "governor unknown" in text
    assert "load unknown" in text
    assert "no manifest" in text
    assert "None" not in text


def test_unlike_clocks_are_named():
    rows = {"a": make_row("a"), "b": make_nano_row("b", mode=make_nano_row().mode._replace(latency="gpu"))}
    sentence = sentences.relative_speed(Comparison("a", "b", 1.5, Interval(1.4, 1.6), 30), rows)
    assert sentence.endswith("their clocks differ: wall clock and GPU compute alone")


def test_a_row_of_tensorrt_shows_its_stages_and_how_they_add_up():
    text = printed(make_report(make_nano_row()))
    for part in ("enqueue", "H2D", "compute", "D2H", "5.000 (6.000)", "0.2000 (0.2400)",
                 "GPU only 5.000 ms + copies 0.3000 ms + enqueue and Python 0.7000 ms = 6.000 ms, what your app sees"):
        assert part in text


def test_the_hardware_is_said_in_one_line():
    line = next(line for line in sentences.notes(make_report(make_nano_row())) if line.startswith("Hardware"))
    for part in ("power mode MAXN", "cpu0 1479 MHz (locked)", "gpu 922 MHz (locked)", "GPU-therm 41.5 °C",
                 "POM_5V_IN 5.20 W at work", "no throttling seen"):
        assert part in line
    row = make_nano_row()
    hardware = row.hardware._replace(throttled=("temperature (gpu-balanced)",),
                                     end=row.hardware.end._replace(clocks_mhz={"cpu0": 1479.0, "gpu": 640.0}))
    assert "throttled: temperature (gpu-balanced)" in sentences.hardware_line(row._replace(hardware=hardware))
    assert "gpu 922 → 640 MHz" in sentences.hardware_line(row._replace(hardware=hardware))


def test_energy_is_called_an_estimate():
    assert any("about 34.3 mJ per inference, estimated from 5.20 W over 1 reading of POM_5V_IN" in line
               for line in sentences.notes(make_report(make_nano_row())))


def test_a_row_on_another_device_says_so_in_every_table():
    text = printed(make_report(make_row(device="nano", device_matches=False)))
    assert text.count("[not nano]") == 2
    assert "NOT the --device nano that was asked for" in text


def test_wrong_outputs_are_flagged_beside_the_name():
    wrong = make_row(outputs=OutputCheck("ref", 0.4, False, 0.02, False))
    text = printed(make_report(wrong))
    assert "[WRONG OUTPUTS]" in text
    assert "outputs DO NOT AGREE with ref within 0.02 (difference 0.4, ANOTHER top-1)" in text
    assert "outputs agree with ref" in sentences.agreement(make_row(outputs=OutputCheck("ref", 0.001, True, 0.02,
                                                                                        True)))
    assert "NOT comparable" in sentences.agreement(make_row(outputs=OutputCheck("ref", None, None, 0.02, False)))


def test_rows_with_the_same_caution_share_a_line():
    caution = Caution("throttled", "cool it")
    lines = sentences.notes(make_report(make_row("a", cautions=(caution,)), make_row("b", cautions=(caution,))))
    assert [line for line in lines if "throttled" in line] == ["Warning (throttled): a, b: cool it."]


def test_a_pipe_gets_tables_of_moderate_width_with_whole_names_and_whole_lines():
    text = printed(make_report(make_nano_row("xxs.plan"), make_row("xxs.onnx")))
    tables = text.split("Runs on")[0].split("xxs.plan: GPU only")[0]
    assert max(len(line) for line in tables.splitlines()) <= 110
    assert tables.count(" xxs.plan ") == 3  # the stages too
