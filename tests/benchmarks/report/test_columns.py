"""One table of columns drives every output; one new file adds a column to all of them."""
import csv
import io
import json
from unittest import mock

import pytest
import toy_column
from bench_doubles import make_nano_row, make_report, make_row, run

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.measuring.measurement import LatencyReport
from edgenext_deploy.benchmarks.report import columns
from edgenext_deploy.benchmarks.report.terminal import print_report


@pytest.fixture
def toy():
    with mock.patch.dict(columns._COLUMNS):
        toy_column.add()
        yield toy_column.COLUMN


def outputs(report):
    """Return the report in every format, as text."""
    stream = io.StringIO()
    print_report(report, stream)
    public = LatencyReport(*report)
    return {"terminal": stream.getvalue(), "csv": public.to_csv().decode("utf-8"),
            "markdown": public.to_markdown().decode("utf-8"), "html": public.to_html().decode("utf-8")}


def test_a_new_column_is_in_every_output(toy, capsys, tmp_path):
    report = make_report(make_row("a"), make_nano_row("b"))
    shown = outputs(report)
    for name in ("terminal", "markdown", "html"):
        assert "p99/p50" in shown[name] and shown[name].count("1.38") == 2, name
    rows = list(csv.DictReader(io.StringIO(shown["csv"])))
    assert [float(row["p99_over_p50"]) for row in rows] == pytest.approx([9.0 / 6.5] * 2)
    path = tmp_path / "a.json"
    path.write_bytes(latency_report.dump(make_report(make_row("a"))))
    code, out, _ = run(capsys, "compare", str(path))
    assert code == 0 and "p99/p50" in out and "1.38" in out


def test_without_it_no_output_knows_it():
    assert not any("p99/p50" in text or "p99_over_p50" in text for text in outputs(make_report(make_row())).values())


def test_a_column_is_registered_once_and_says_something():
    with pytest.raises(ValueError, match="a column 'p50_ms' already"):
        columns.register_column(columns.Column("p50_ms", "p50", lambda row, report: "", None, True))
    with pytest.raises(ValueError, match="neither text nor a value"):
        columns.register_column(columns.Column("nothing", "nothing", None, None, True))


CSV_OF_0_1 = (
    "name,variant,precision,weights,random_weights,device,device_found,device_matches,runtime,runtime_version,"
    "provider,threads,latency_of,transfers,cuda_graph_requested,cuda_graph,batch,input_shape,image,n,p50_ms,"
    "p50_low_ms,p50_high_ms,p90_ms,p99_ms,min_ms,max_ms,mean_ms,std_ms,throughput_per_s,compared_with,time_ratio,"
    "time_ratio_low,time_ratio_high,enqueue_p50_ms,host_to_device_p50_ms,compute_p50_ms,device_to_host_p50_ms,"
    "latency_p50_ms,wall_p50_ms,warmup_ms,warmup_iterations,warmup_stable,window_spread,stable,is_reference,"
    "outputs_difference,outputs_top1_equal,outputs_passed,power_mode,clocks_locked,hottest_start_c,hottest_end_c,"
    "throttled,mean_power_mw,energy_estimate_mj,cautions,interrupted,engine_sha256,manifest_sha256,host,"
    "toolkit_version,started_at")


def test_the_csv_has_the_columns_of_earlier_versions_in_their_order():
    assert outputs(make_report(make_row()))["csv"].splitlines()[0] == CSV_OF_0_1 + ",inputs"


def test_the_public_report_writes_what_the_command_writes():
    report = make_report(make_row("a"), make_row("b"))
    public = LatencyReport(*report)
    assert json.loads(public.to_json().decode("utf-8")) == json.loads(latency_report.dump(report).decode("utf-8"))
