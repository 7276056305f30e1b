import json

import pytest
from bench_doubles import make_nano_row, make_report, make_row

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.errors import BadInputError


def write(tmp_path, content):
    path = tmp_path / "latency.json"
    path.write_bytes(content)
    return str(path)


def test_a_report_survives_json_unchanged(tmp_path):
    comparison = latency_report.Comparison("a", "b", 1.25, Interval(1.2, 1.3), 30)
    latency = make_row().latency._replace(p50_interval=None)
    bare = make_row("bare", model=None, started_at=None, latency=latency, samples=None)
    checked = make_nano_row("checked", outputs=latency_report.OutputCheck("a", None, None, 1e-3, False), cautions=(
        latency_report.Caution("throttled", "cool it"),))
    report = make_report(make_row("a", interleaved_with=("b",)), bare, checked,
                         comparisons=(comparison, comparison._replace(interval=None)), interrupted=True)
    assert latency_report.read(write(tmp_path, latency_report.dump(report))) == report


def test_a_report_of_an_earlier_version_is_still_read(tmp_path):
    """Until 0.1.0 a reading held clocks, temperatures, power and throttling alone."""
    report = make_report(make_row("a"), make_nano_row("b"))
    data = json_records.to_json(report)
    for row in data["records"]:
        for reading in (row["hardware"]["start"], row["hardware"]["end"], *row["hardware"]["during"]):
            assert reading.pop("others") == {}
    assert latency_report.read(write(tmp_path, json.dumps(data).encode("utf-8"))) == report


def test_the_schema_number_comes_first_and_every_row_holds_its_machine():
    data = json.loads(latency_report.dump(make_report()).decode("utf-8"))
    assert next(iter(data)) == "schema"
    assert data["schema"] == latency_report.SCHEMA
    assert data["records"][0]["host"]["python"] == describe_host().python
    assert data["records"][0]["latency"]["p50_interval"] == {"low": 6.4, "high": 6.6}


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"),
    (b"{", "not a latency report"),
    (b"[]", "list found, an object expected"),
    (b"\xff\xfe", "not a latency report"),
    (b'{"schema": 99, "records": []}', "schema 99 found"),
    (b'{"schema": 1, "variant": "xxs"}', "not a latency report"),  # a manifest
])
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(BadInputError, match=message):
        latency_report.read(write(tmp_path, content))


def test_a_missing_file_is_bad_input(tmp_path):
    with pytest.raises(BadInputError, match="not found"):
        latency_report.read(str(tmp_path / "none.json"))


@pytest.mark.parametrize(("field", "value"), [
    ("n", "300"), ("stable", 1), ("latency", None), ("input_shape", [1, 3.5]), ("host", {}), ("batch", None),
])
def test_a_damaged_field_is_named(tmp_path, field, value):
    data = json_records.to_json(make_report())
    data["records"][0][field] = value
    with pytest.raises(BadInputError, match=r"records\[0\]\." + field):
        latency_report.read(write(tmp_path, json.dumps(data).encode("utf-8")))


def test_a_missing_field_is_named(tmp_path):
    data = json_records.to_json(make_report())
    del data["records"][0]["warmup"]
    with pytest.raises(BadInputError, match="'warmup' is missing"):
        latency_report.read(write(tmp_path, json.dumps(data).encode("utf-8")))


@pytest.mark.parametrize("ends", [(0.0, 7.0), (-1.0, 7.0), (1e-300, 7.0), (7.0, 6.0)])
def test_an_interval_that_nothing_can_be_divided_by_is_named(tmp_path, ends):
    row = make_row()
    latency = row.latency._replace(p50_interval=Interval(*ends))
    comparison = latency_report.Comparison("a", "b", 1.25, Interval(*ends), 30)
    for report, field in ((make_report(row._replace(latency=latency)), r"records\[0\]\.latency\.p50_interval is"),
                          (make_report(comparisons=(comparison,)), r"comparisons\[0\]\.interval is")):
        with pytest.raises(BadInputError, match=field):
            latency_report.read(write(tmp_path, latency_report.dump(report)))
