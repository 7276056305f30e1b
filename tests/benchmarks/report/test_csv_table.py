"""CSV and Markdown."""
import csv
import io

import pytest
from bench_doubles import make_nano_row, make_report, make_row

from edgenext_deploy.benchmarks.latency_report import Caution, Comparison
from edgenext_deploy.benchmarks.report.csv_table import to_csv
from edgenext_deploy.benchmarks.report.markdown import to_markdown
from edgenext_deploy.benchmarks.statistics import Interval


def lines_of(report):
    return list(csv.DictReader(io.StringIO(to_csv(report).decode("utf-8"))))


def test_every_row_is_one_line_with_the_same_columns():
    reference, nano = lines_of(make_report(make_row("a,\"b\"\n.onnx"), make_nano_row()))
    assert list(reference) == list(nano)
    assert reference["name"] == "a,\"b\"\\n.onnx"
    assert (nano["p50_ms"], nano["p50_low_ms"], nano["p99_ms"], nano["n"]) == ("6.5", "6.4", "9.0", "300")
    assert (reference["compute_p50_ms"], nano["compute_p50_ms"], nano["enqueue_p50_ms"]) == ("", "5.0", "0.4")
    assert (nano["power_mode"], nano["clocks_locked"], nano["hottest_end_c"]) == ("MAXN", "True", "41.5")
    assert (nano["energy_estimate_mj"], nano["mean_power_mw"], reference["mean_power_mw"]) == ("34.3", "5200.0", "")


@pytest.mark.parametrize(("comparison", "ratio"), [
    (Comparison("a", "b", 1.25, Interval(1.2, 1.3), 30), (1.25, 1.2, 1.3)),
    (Comparison("b", "a", 1.25, Interval(1.2, 1.3), 30), (0.8, 1 / 1.3, 1 / 1.2)),
])
def test_ratios_are_times_over_the_first_rows_time(comparison, ratio):
    first, second = lines_of(make_report(make_row("a"), make_row("b"), comparisons=(comparison,)))
    assert first["time_ratio"] == ""
    assert second["compared_with"] == "a"
    found = [float(second[name]) for name in ("time_ratio", "time_ratio_low", "time_ratio_high")]
    assert found == pytest.approx(ratio)


def test_a_ratio_without_an_interval_has_empty_bounds():
    _, second = lines_of(make_report(make_row("a"), make_row("b"), comparisons=(Comparison("a", "b", 2.0, None, 2),)))
    assert (second["time_ratio"], second["time_ratio_low"]) == ("2.0", "")


def test_markdown_has_the_tables_and_the_notes_and_no_name_breaks_it():
    row = make_nano_row("a|b_c*.plan", cautions=(Caution("throttled", "cool it"),))
    text = to_markdown(make_report(row)).decode("utf-8")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table[:3]}) == 1
    assert "a\\|b\\_c\\*.plan" in text
    assert "### Stages as trtexec defines them" in text
    assert "- Warning (throttled)" in text
