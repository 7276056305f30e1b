import html.parser
import io
import re
import xml.dom.minidom

import numpy as np
import pytest
from bench_doubles import make_nano_row, make_report, make_row

from edgenext_deploy import svg
from edgenext_deploy.benchmarks.charts import plots, svg_charts
from edgenext_deploy.benchmarks.charts.svg_charts import Bar, Dot, Series
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.compare.reports import compare
from edgenext_deploy.benchmarks.latency.cautions import cautions_of
from edgenext_deploy.benchmarks.latency_report import Caution, OutputCheck, Samples
from edgenext_deploy.benchmarks.paper.suites import get_suite
from edgenext_deploy.benchmarks.paper.table import fill
from edgenext_deploy.benchmarks.profile.layer_times import summed
from edgenext_deploy.benchmarks.report.html.pages import comparison_page, report_page, table_page
from edgenext_deploy.benchmarks.report.html.sections import accuracy, warnings
from edgenext_deploy.commands import entry
from edgenext_deploy.runtime.profile import LayerTime, LayerTimes

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = "<script>alert(1)</script>&\"'.onnx"


def samples(count=400):
    values = 6.0 + np.random.RandomState(0).gamma(1.5, 0.1, count)
    return Samples(tuple(np.cumsum(values / 1e3)), tuple(values), False)


class Checker(html.parser.HTMLParser):
    """Collects what is not closed, what would be fetched, and what text the page shows."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.fetched += [names[name] for name in ("src", "href", "data", "action") if name in names]
        if tag in ("script", "iframe", "object", "link"):
            self.fetched.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    checker = Checker()
    text = page.decode("utf-8")
    checker.feed(text)
    assert checker.open == [] and checker.fetched == []
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    return " ".join(checker.text)


def pages(row):
    report = make_report(row, make_nano_row(samples=samples()))
    named = [("a.json", report)]
    profile = summed(LayerTimes((LayerTime(HOSTILE, "Conv", 1.0),), 3, 2.0, {"runtime": HOSTILE}), row.engine, None)
    return [report_page(report, [profile]), comparison_page(compare(named), named),
            table_page(fill(get_suite("table3"), named), named)]


def test_pages_are_whole_fetch_nothing_and_escape_everything():
    row = make_row(HOSTILE, samples=samples(), device_found=HOSTILE, cautions=(Caution("x", HOSTILE),))
    for page in pages(row):
        assert "<script>" not in page.decode("utf-8")
        assert HOSTILE in check(page)


def test_a_report_shows_what_its_numbers_depend_on():
    row = make_row("xxs.onnx", samples=samples(), cautions=(Caution("unstable", "lock the clocks"),))
    text = check(report_page(make_report(row, make_nano_row())))
    for part in ("6.500", "6.400–6.600", "lock the clocks", "MAXN", "clocks", "GPU-therm", "41.5 °C", "POM_5V_IN",
                 "TensorRT", "abababab", "how it was measured is not stated", "what your app sees"):
        assert part in text, part


def test_cautions_that_differ_only_in_how_far_share_a_line():
    rows = [make_row(name, stable=False, window_spread=spread) for name, spread in (("a", 0.21), ("b", 0.3))]
    rows = [row._replace(cautions=cautions_of(row)) for row in rows]
    [line] = warnings(make_report(*rows))
    assert line.startswith("a (21 %), b (30 %): the medians of fifths")
    # A report without cautions still says what is known against its rows.
    assert len(warnings(make_report(make_row("a", stable=False)))) == 1


def test_the_table_of_a_page_marks_what_nobody_must_miss():
    wrong = OutputCheck("ref.onnx", 0.5, False, 0.01, False)
    page = report_page(make_report(make_row("a", device="nano", device_matches=False), make_row("b", outputs=wrong)))
    assert "a [not nano]" in check(page) and "b [WRONG OUTPUTS]" in check(page)


def test_a_point_has_the_accuracy_of_its_input_size_and_only_with_the_right_outputs():
    def chart(published=True, **changes):
        row = make_row("s.onnx", **changes)
        weights = row.model.weights._replace(random=False, published=published)
        return accuracy([make_report(row._replace(model=row.model._replace(variant="s", weights=weights)))])

    assert chart(published=False) == ""  # such as a network of five classes, which has this variant's name
    assert "s: 79.4 %, 6.500 ms, measured" in chart()
    assert "s: 78.8 %, 6.500 ms, measured" in chart(input_shape=(1, 3, 224, 224))
    assert chart(input_shape=(1, 3, 192, 192)) == ""
    assert chart(outputs=OutputCheck("ref.onnx", 0.5, False, 0.01, False)) == ""


def test_without_samples_or_manifest_the_page_still_stands():
    check(report_page(make_report(make_row(samples=None, model=None))))


def test_a_plan_that_copies_nothing_shows_no_copies():
    row = make_nano_row()
    text = check(report_page(make_report(row._replace(stages=row.stages._replace(
        host_to_device=None, device_to_host=None)))))
    assert "GPU compute" in text and "copy in" not in text


def test_an_interrupted_report_says_so():
    assert "Interrupted" in check(report_page(make_report(make_row(), interrupted=True)))


def test_the_histogram_counts_every_sample():
    values = [5.0] * 90 + [6.0] * 9 + [50.0]
    drawn = svg_charts.histogram(values, "d")
    assert sum(int(count) for count in re.findall(r"(\d+) inferences", drawn)) == 100
    assert "p50 5" in drawn and "to 50.000 ms" in drawn


@pytest.mark.parametrize("values", [[5.0] * 90 + [6.0] * 9 + [50.0], [63.0] * 80 + [63.2] * 15 + [69.0] * 5,
                                    [48.8] * 80 + [5.0] + [63.2] * 10 + [69.0] * 9, [1234.5] * 9])
def test_the_labels_of_a_histogram_lie_beside_each_other(values):
    drawn = svg_charts.histogram(values, "d")
    labels = sorted((float(x), len(words)) for x, words in re.findall(r'<text x="([\d.]+)"[^>]*>(p\d\d [^<]+)<', drawn))
    edges = [(x - 3.2 * letters, x + 3.2 * letters) for x, letters in labels]
    assert len(edges) == 3 and edges[0][0] >= 0.0 and edges[-1][1] <= 460.0
    assert all(after[0] - before[1] > 3.0 for before, after in zip(edges, edges[1:]))


def test_the_time_line_marks_what_is_far_above():
    drawn = svg_charts.time_line(list(range(1000)), [5.0] * 999 + [50.0], "d")
    assert drawn.count("<title>50.000 ms</title>") == 1


def test_bars_are_as_long_as_their_values():
    drawn = svg_charts.bars([Bar("a", 4.0, "x"), Bar("b", 1.0, "x")], "d")
    long, short = (float(width) for width in re.findall(r'width="([\d.]+)" height="15.0"', drawn))
    assert long == pytest.approx(4 * short, rel=0.01)


def test_published_points_are_marked_otherwise_than_measured_ones():
    dots = ((Dot("s", 20.0, 79.4, "t"), Dot("xxs", 6.0, 71.2, "t")),)
    drawn = svg_charts.accuracy_chart([Series("p", True, dots), Series("m", False, dots)], "d")
    assert drawn.count("hollow") == 2 and drawn.count("<circle") == 2
    assert drawn.count("l5.2 -5.2l5.2 5.2l-5.2 5.2z") == 2
    assert svg_charts.accuracy_chart([Series("p", True, ())], "d") is None


@pytest.mark.parametrize("low, high, logarithmic", [(0.0, 1.03, False), (6.5, 7.5, False), (3.0, 70.0, True),
                                                    (5.0, 6.0, True), (4.0, 4.0, False), (0.0001, 0.0004, False)])
def test_ticks_are_round_on_the_axis_and_neither_few_nor_many(low, high, logarithmic):
    axis = svg.Axis(low, high, 0.0, 100.0, logarithmic)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    assert all(axis.low <= value <= axis.high * (1 + 1e-9) and float(label) == pytest.approx(value)
               for value, label in ticks)


def test_a_plot_of_a_run_is_one_svg_file_with_every_row():
    rows = [make_row(HOSTILE, samples=samples()), make_nano_row("slow.plan", samples=None)]
    drawn = plots.latency_plot(make_report(*rows))
    document = xml.dom.minidom.parse(io.BytesIO(drawn))
    assert document.documentElement.tagName == "svg"
    words = [text.firstChild.data for text in document.getElementsByTagName("text")]
    assert "slow.plan" in words and HOSTILE in words and HOSTILE + " over the run" in words
    assert "slow.plan over the run" not in words  # no samples


def test_a_title_with_a_long_name_of_a_processor_is_not_cut_off():
    report = make_report(make_row()._replace(device_found="x86_64, Some(R) Processor of Many Words @ 2.40GHz"))
    document = xml.dom.minidom.parse(io.BytesIO(plots.latency_plot(report)))
    titles = [text for text in document.getElementsByTagName("text") if text.getAttribute("class") == "strong"]
    words = [text.firstChild.data for text in titles]
    assert max(map(len, words)) <= 90 and "Processor of Many Words" in words[0] and words[1].endswith("interval")
    first, second = (float(text.getAttribute("y")) for text in titles[:2])
    assert second - first == 18


def test_a_spread_is_drawn_where_its_figures_are():
    latency = make_row().latency._replace(min_ms=2.0, p50_ms=5.0, p90_ms=8.0, p99_ms=10.0)
    drawn = svg_charts.spreads([("a", latency)], "d")
    lines = [tuple(map(float, found)) for found in re.findall(
        r'<line x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" class="line s0"', drawn)]
    (start, end), (tick, _) = lines
    assert (end - start) == pytest.approx(4 * (end - tick), rel=0.02)  # 2 to 10 ms, and 8 to 10
    mark = float(re.search(r'<path d="M([\d.]+) ', drawn).group(1))
    assert (mark - start) == pytest.approx(3 / 8 * (end - start), rel=0.02)


def test_a_profile_is_drawn_without_any_library():
    profile = summed(LayerTimes((LayerTime("stages.0.0.dwconv.conv", "Conv", 1.0),), 3, 2.0, {}),
                     make_row().engine, None)
    drawn = plots.profile_plot(profile)
    assert xml.dom.minidom.parse(io.BytesIO(drawn)).documentElement.tagName == "svg"
    assert b"stages.0.0" in drawn


def test_a_page_of_a_saved_run_with_its_profile(tmp_path, capsys):
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks import latency_report

    row = make_row("xxs.onnx", samples=samples())
    profile = summed(LayerTimes((LayerTime("stages.2.5.xca.scores", "MatMul", 1.0),), 3, 2.0, {}), row.engine, None)
    (tmp_path / "run.json").write_bytes(latency_report.dump(make_report(row)))
    (tmp_path / "profile.json").write_bytes(json_records.dump(profile))
    arguments = ["page", str(tmp_path / "run.json"), "--html", str(tmp_path / "page.html"), "--profile"]
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, [*arguments, str(tmp_path / "profile.json")])
    assert stopped.value.code == 0, capsys.readouterr().err
    text = check((tmp_path / "page.html").read_bytes())
    assert "Layers of xxs.onnx" in text and "stages.2.5" in text
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, [*arguments, str(tmp_path / "run.json")])
    assert stopped.value.code == 3 and "not a profile" in capsys.readouterr().err
    for name in ("layers", "by_kind", "by_stage", "by_block"):
        (tmp_path / "profile.json").write_bytes(json_records.dump(profile._replace(**{name: ()})))
        with pytest.raises(SystemExit) as stopped:
            entry.run_command(bench_command, [*arguments, str(tmp_path / "profile.json")])
        assert stopped.value.code == 3 and name + " is empty" in capsys.readouterr().err


def test_the_main_command_writes_a_page(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    from doubles import gpu

    path = tmp_path / "page.html"
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["--engine", gpu.TINY, "--duration", "0.05", "--warmup", "0.05",
                                            "--html", str(path)])
    assert stopped.value.code == 0, capsys.readouterr().err
    assert "tiny_classifier.onnx" in check(path.read_bytes())
