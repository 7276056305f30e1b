import io
import json
import re

import pytest
from bench_doubles import make_hardware, make_nano_row, make_reading, make_report, make_row

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.compare.comparable import Ratio, defects, differences, ratio_of_medians
from edgenext_deploy.benchmarks.compare.compare_text import (
    across_sentences,
    dump_compared,
    group_table,
    print_compared,
    published_cells,
    ratio_text,
    sentences,
)
from edgenext_deploy.benchmarks.compare.reports import compare, read_reports
from edgenext_deploy.benchmarks.hardware.state import SensorError
from edgenext_deploy.benchmarks.latency_report import Comparison, Mode, OutputCheck, WarmUp
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.commands import entry as command
from edgenext_deploy.errors import UsageError
from edgenext_deploy.machine.power_mode import PowerMode


def row(name, p50_ms=6.5, width=0.01, base=make_row, **changes):
    """Return a row with a p50 and an interval of so much on either side, relative."""
    made = base(name)
    latency = made.latency._replace(p50_ms=p50_ms, p50_interval=Interval(p50_ms * (1 - width), p50_ms * (1 + width)))
    return made._replace(latency=latency, **changes)


def only_group(*rows, **changes):
    [group] = compare([("a.json", make_report(*rows, **changes))]).groups
    return group


def model(precision="fp32", variant="xxs"):
    return make_row().model._replace(precision=precision, variant=variant)


def test_alike_rows_are_ranked_by_p50():
    group = only_group(row("slow", 9.0), row("fast", 3.0), row("middle", 6.0))
    assert [(entry.label, entry.rank) for entry in group.rows] == [("fast", 1), ("middle", 2), ("slow", 3)]
    assert group.reference == "slow"
    assert [entry.ratio.value for entry in group.rows] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_two_rows_of_a_run_in_turns_are_compared_round_by_round():
    speeds = [1.0, 3.0, 1.0, 1.0, 3.0, 3.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 1.0]
    made = [row(name, 9.0, interleaved_with=("a", "b", "c"), round_p50_ms=tuple(factor * speed for speed in speeds))
            for name, factor in (("a", 1.0), ("b", 2.0), ("c", 5.0))]
    ratios = {entry.label: entry.ratio for entry in only_group(*made).rows}
    assert [ratios[name].value for name in "abc"] == pytest.approx([1.0, 2.0, 5.0])
    assert ratios["c"].interval == pytest.approx((5.0, 5.0)) and ratios["c"].interleaved
    apart = compare([("a.json", make_report(made[0])), ("b.json", make_report(made[1]))]).groups[0].rows
    assert [entry.ratio.value for entry in apart] == [1.0, 1.0] and not apart[1].ratio.interleaved


MEAN = make_reading(1.0, clocks_mhz={"cpu0": 1000.0})


@pytest.mark.parametrize("changes, reason", [
    ({"mode": Mode("wall", "none", None, None, 4)}, "threads 4 against 2"),
    ({"mode": Mode("gpu", "excluded", None, None, 2)}, "latency gpu against wall"),
    ({"mode": Mode("wall", "excluded", None, None, 2)}, "transfers excluded against included"),
    ({"batch": 8}, "batch 8 against 1"),
    ({"input_shape": (1, 3, 320, 320)}, "input 3×320×320 against 3×256×256"),
    ({"model": model("fp16")}, "precision fp16 against fp32"),
    ({"model": None}, "precision unknown against fp32"),
    ({"hardware": make_hardware(clocks_locked=True)}, "clocks locked against not locked"),
    ({"hardware": make_hardware(clocks_locked=None)}, "clocks unknown against not locked"),
    ({"hardware": make_hardware(during=(MEAN,))}, "cpu0 clock 1000 MHz against 2100 MHz under load"),
    ({"stable": False, "window_spread": 0.31}, "not stable: medians of fifths 31 % apart"),
    ({"warmup": WarmUp(3000.0, 9, False)}, "warm-up never stable"),
    ({"interrupted": True}, "interrupted after 300 inferences"),
    ({"hardware": make_hardware(throttled=("thermal",))}, "throttled: thermal"),
    ({"hardware": make_hardware(troubles=(SensorError("GPU-therm", "lost", "stopped", 1.0),))},
     "sensor GPU-therm lost"),
    ({"outputs": OutputCheck("ref.onnx", 0.5, False, 0.01, False)}, "outputs differ from ref.onnx"),
])
def test_an_unlike_row_is_named_with_the_reason_and_not_ranked(changes, reason):
    group = only_group(row("reference", model=model()), row("other", **dict({"model": model()}, **changes)))
    [other] = [entry for entry in group.rows if entry.label == "other"]
    assert other.rank is None and other.ratio is None
    assert reason in "; ".join(other.reasons)
    assert not any("other" in sentence for sentence in sentences(group))


def interleaved(**changes):
    rows = [row(name, p50_ms, interleaved_with=("a-long-name-of-an-engine.onnx", "b.onnx"), **changes)
            for name, p50_ms in (("a-long-name-of-an-engine.onnx", 133.3), ("b.onnx", 49.0))]
    return rows, Comparison("b.onnx", "a-long-name-of-an-engine.onnx", 2.72, Interval(2.52, 2.92), 40)


def test_a_runs_paired_ratio_is_shown_where_nothing_is_ranked_and_marked_unstable():
    rows, comparison = interleaved(stable=False, window_spread=0.5)
    group = only_group(*rows, comparisons=(comparison,))
    assert [entry.rank for entry in group.rows] == [None, None]
    [sentence] = sentences(group)
    assert sentence.startswith("b.onnx is 2.72 × faster than a-long-name-of-an-engine.onnx (interval 2.52–2.92), "
                               "interleaved in one run, unstable; known against")
    assert "0.37 × (0.34–0.40), unstable" in group_table(group).rows[1]
    steady, comparison = interleaved(stable=True)
    other = only_group(steady[0], steady[1]._replace(batch=8), comparisons=(comparison,))
    assert sentences(other)[0].endswith("interleaved in one run, not ranked")
    wrong = steady[1]._replace(outputs=OutputCheck("a", 0.5, False, 0.01, False))
    assert sentences(only_group(steady[0], wrong, comparisons=(comparison,))) == []


@pytest.mark.parametrize("columns", [200, 80, 60])
def test_no_figure_and_no_name_is_broken_on_a_terminal(monkeypatch, columns):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    rows, comparison = interleaved(stable=False, window_spread=0.5)
    stream = Terminal()
    print_compared(compare([("a.json", make_report(*rows, comparisons=(comparison,)))]), stream)
    text = re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())
    for whole in ("132.0–134.6", "48.51–49.49", "a-long-name-of-an-engine.onnx", "(0.34–0.40)", "onnxruntime"):
        assert whole in text
    assert max(map(len, text.splitlines())) <= columns


def test_power_modes_and_cuda_graphs_of_a_jetson():
    first = make_nano_row("a")
    five_watts = first._replace(hardware=first.hardware._replace(power_mode=PowerMode("5W", 1, "nvpmodel -q")))
    assert differences(five_watts, first) == ("power mode 5W against MAXN",)
    assert differences(first._replace(mode=first.mode._replace(cuda_graph=True)), first) == (
        "CUDA graph on against off",)


def test_a_processor_is_alike_to_a_gpu_whose_copies_count():
    # Its caller waits for everything, and questions that do not arise are no differences.
    gpu = make_row(mode=Mode("wall", "included", None, True, None))
    assert differences(make_row(mode=Mode("wall", "none", None, None, 2)), gpu) == ()


def test_a_mismatch_of_the_device_is_a_defect():
    found = defects(make_row(device="nano", device_matches=False))
    assert found == ("not the device asked for: nano asked, x86_64, Some CPU found",)
    assert defects(make_row()) == ()


def test_the_reference_is_the_first_sound_row_unless_named():
    rows = (row("restless", stable=False), row("sound"), row("later"))
    assert only_group(*rows).reference == "sound"
    [group] = compare([("a.json", make_report(*rows))], "later").groups
    assert group.reference == "later"
    with pytest.raises(UsageError, match="'nobody'"):
        compare([("a.json", make_report(*rows))], "nobody")


def test_what_is_known_against_a_named_reference_stands_in_every_sentence():
    rows = (row("hot", 9.0, hardware=make_hardware(throttled=("thermal",))), row("sound", 3.0), row("later", 6.0))
    [group] = compare([("a.json", make_report(*rows))], "hot").groups
    assert [entry.rank for entry in group.rows] == [1, 2, None]
    assert len(sentences(group)) == 2
    assert all("; known against hot: throttled: thermal" in line for line in sentences(group))
    assert not any("known against" in line for line in sentences(only_group(*rows)))


def test_the_interleaved_ratio_comes_before_that_of_the_medians():
    interleaved = Comparison("b", "a", 1.25, Interval(1.2, 1.3), 40)
    group = only_group(row("a", 10.0), row("b", 5.0), comparisons=(interleaved,))
    [fast] = [entry for entry in group.rows if entry.label == "b"]
    assert fast.ratio.value == pytest.approx(1 / 1.25) and fast.ratio.interleaved
    assert fast.ratio.interval == pytest.approx((1 / 1.3, 1 / 1.2))
    assert sentences(group) == ["b is 1.25 × faster than a (interval 1.20–1.30), interleaved in one run"]


def test_the_interval_of_separate_runs_adds_in_squares():
    # Relative half-widths of 3 % and 4 % make 5 %.
    ratio = ratio_of_medians(row("a", 20.0, 0.03), row("b", 10.0, 0.04))
    assert ratio.value == pytest.approx(2.0)
    assert ratio.interval == pytest.approx((2.0 * 0.95, 2.0 * 1.05), rel=3e-3)
    assert ratio_of_medians(row("a")._replace(latency=make_row().latency._replace(p50_interval=None)),
                            row("b")).interval is None


def test_an_interval_never_reaches_zero_and_is_the_same_from_either_row():
    # Two clocks, and half of the inferences at each: a p50 of 5 ms may as well have been 12.
    jumpy, steady = row("a", 5.0), row("b", 5.0)
    jumpy = jumpy._replace(latency=jumpy.latency._replace(p50_interval=Interval(4.9, 12.0)))
    ratio = ratio_of_medians(steady, jumpy)
    assert ratio.interval.low == pytest.approx(5.0 / 12.0, rel=1e-3)
    assert ratio.inverse().interval == pytest.approx(ratio_of_medians(jumpy, steady).interval)


def test_rows_of_separate_reports_say_that_drift_is_not_in_the_interval():
    compared = compare([("a.json", make_report(row("x", 6.0))), ("b.json", make_report(row("x", 9.0)))])
    [group] = compared.groups
    assert [entry.label for entry in group.rows] == ["x (a.json)", "x (b.json)"]
    [sentence] = sentences(group)
    assert sentence.startswith("x (a.json) is 1.50 × faster than x (b.json)") and "separate runs" in sentence


def test_one_report_given_twice_is_refused(tmp_path):
    """Its rows would have one label each, and be compared with themselves as if from separate runs."""
    path = tmp_path / "a.json"
    path.write_bytes(latency_report.dump(make_report(row("x", 6.0))))
    (tmp_path / "link.json").symlink_to(path)
    for paths in ([str(path)] * 2, [str(path), str(tmp_path / "link.json")]):
        with pytest.raises(UsageError, match="is given twice"):
            read_reports(paths)
    assert len(read_reports([str(path)])) == 1


def test_a_small_ratio_keeps_its_digits():
    assert ratio_text(Ratio(0.0011701, Interval(0.00100244, 0.00122909), True)) == "0.0012 × (0.001–0.0012)"
    assert ratio_text(Ratio(0.987, Interval(0.1, 1.25), True)) == "0.99 × (0.10–1.25)"


def test_machines_are_not_ranked_among_each_other_but_one_network_is_held_across():
    cpu = row("xxs.onnx", 6.0, model=model("fp16"))
    nano = row("xxs.plan", 18.0, base=make_nano_row)
    compared = compare([("a.json", make_report(cpu)), ("b.json", make_report(nano))])
    assert [group.machine.asked for group in compared.groups] == ["cpu", "nano"]
    assert [entry.rank for group in compared.groups for entry in group.rows] == [1, 1]
    [sentence] = across_sentences(compared)
    assert "is 3.00 × faster than" in sentence and "Jetson Nano" in sentence
    unlike = compare([("a.json", make_report(cpu._replace(model=model("fp32")))), ("b.json", make_report(nano))])
    assert "are not compared: precision fp16 against fp32" in across_sentences(unlike)[0]


def test_published_figures_stand_beside_with_their_method():
    compared = compare([("a.json", make_report(row("x", model=model(variant="s"))))])
    notes = {figure.quantity: figure.note for figure in compared.published}
    assert "how it was measured is not stated" in notes["nano_latency"]
    assert "batch 256" in notes["a100_latency"]
    assert "eager PyTorch" in notes["a100_throughput_batch1"]
    assert {figure.variant for figure in compared.published} == {"s"}


def test_published_figures_keep_their_digits_and_fig_3_its_batch_256():
    rows = [row(variant, model=model(variant=variant)) for variant in ("mobilevit_xxs", "xxs_bn_hs")]
    [nano, _, a100, _, batch_256, batch_1] = [
        published_cells(figure)[1] for figure in compare([("a.json", make_report(*rows))]).published]
    assert (nano, a100) == ("Nano latency: 21.0 ms", "A100 time: 216 µs")
    assert batch_256 == "A100 throughput, batch 256: 10359.98 images/s"
    assert batch_1 == "A100 throughput, batch 1: 219.66 images/s"


def test_the_command(tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path, p50_ms in zip(paths, (6.0, 9.0)):
        with open(path, "wb") as stream:
            stream.write(latency_report.dump(make_report(row("x", p50_ms))))
    with pytest.raises(SystemExit) as stopped:
        command.run_command(bench_command, ["compare", *paths, "--html", str(tmp_path / "page.html")])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "1.50 × faster" in out and "Published by others, not measured here" in out
    assert (tmp_path / "page.html").read_bytes().startswith(b"<!DOCTYPE html>")
    with pytest.raises(SystemExit) as stopped:
        command.run_command(bench_command, ["compare", paths[0], str(tmp_path / "none.json")])
    assert stopped.value.code == 3


def test_json_names_every_row_and_reason():
    compared = compare([("a.json", make_report(row("a"), row("b", batch=8)))])
    data = json.loads(dump_compared(compared).decode("utf-8"))
    assert data["kind"] == "comparison"
    assert [entry["name"] for entry in data["machines"][0]["rows"]] == ["a", "b"]
    assert data["machines"][0]["rows"][1]["reasons"] == ["batch 8 against 1"]
