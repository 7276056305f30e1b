import json
import sys

import pytest
from bench_doubles import make_nano_row, make_report, make_row
from command_lines import run_here

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.latency import exports
from edgenext_deploy.benchmarks.latency_report import Comparison, Mode
from edgenext_deploy.benchmarks.paper.suites import SUITES, get_suite, published_of
from edgenext_deploy.benchmarks.paper.table import fill
from edgenext_deploy.benchmarks.paper.table_text import headings, notes, row_cells
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import BadInputError, UsageError


def row(variant, p50_ms, base=make_row, **changes):
    made = base(variant + ".onnx")
    return made._replace(model=made.model._replace(variant=variant),
                         latency=made.latency._replace(p50_ms=p50_ms), **changes)


def filled(*rows, **changes):
    return fill(get_suite("table3"), [("a.json", make_report(*rows, **changes))] if rows else [])


def cells_of(table, variant):
    [found] = [line for line in table.rows if line.variant == variant]
    return dict(zip(headings(table), row_cells(table, found)))


# The paper's Tables 3, 7, 8, 9 and 10: top-1 and A100 microseconds.
PRINTED = {
    "table3": [(69.0, 216), (74.8, 423), (78.4, 559), (71.2, 142), (75.0, 227), (79.4, 332)],
    "table7": [(79.4, 332), (78.3, 265), (77.9, 301), (79.3, 332), (79.2, 301)],
    "table8": [(79.3, 303), (79.7, 393), (79.4, 332)],
    "table9": [(78.3, 265), (78.6, 290), (79.1, 310), (79.4, 332), (79.2, 387)],
    "table10": [(79.0, 332), (79.4, 332)],
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_the_published_columns_are_the_papers(name):
    suite = get_suite(name)
    found = [published_of(suite, line.variant) for line in suite.rows]
    assert [(figure.top1, figure.a100_us) for figure in found] == PRINTED[name]


# As the paper's text has them; 2242 is 224² there.
TEXT = {
    "table2": """
MobileNetV2 CVPR2018 2242 6.9M 585M 74.7
ConvNets ShuffleNetV2 ECCV2018 2242 5.5M 597M 74.5
MobileNetV3 ICCV2019 2242 5.4M 219M 75.2
ViTs T2T-ViT ICCV2021 2242 6.9M 1.80G 76.5
DeiT-T ICML2021 2242 5.7M 1.25G 72.2
MobileFormer CoRR2021 2242 9.4M 214M 76.7
Hybrid ViT-C NeurIPS2021 2242 4.6M 1.10G 75.3
CoaT-Lite-T ICCV2021 2242 5.7M 1.60G 77.5
MobileViT-S ICLR2022 2562 5.6M 2.01G 78.4
EdgeNeXt-S Ours 2242 5.6M 965M 78.8
EdgeNeXt-S Ours 2562 5.6M 1.30G 79.4""",
    "table4": """
ConvNeXt-T None 2242 28.6M 4.5G 82.1
ConvNeXt-T ImageNet-21K 2242 28.6M 4.5G 82.9
MobileViT-V2 None 2562 18.5M 7.5G 81.2
MobileViT-V2 ImageNet-21K-P 2562 18.5M 7.5G 82.4
EdgeNeXt-B None 2562 18.5M 3.8G 82.5
EdgeNeXt-B ImageNet-21K-P 2562 18.5M 3.8G 83.3""",
    "table5": """
MobileNetV1 5.1M 1.3G 22.2
MobileNetV2 4.3M 800M 22.1
MobileNetV3 5.0M 620M 22.0
MobileViT-S 5.7M 3.4G 27.7
EdgeNeXt-S (ours) 6.2M 2.1G 27.9""",
    "table6": """
MobileNetV1 11.1M 14.2G 75.3
MobileNetV2 4.5M 5.8G 75.7
MobileViT-S 5.7M 13.7G 79.1
EdgeNeXt-S (ours) 6.5M 8.7G 80.2""",
}
QUALITY = {"table2": "top-1 % †", "table4": "top-1 % †", "table5": "mAP % †", "table6": "mIoU % †"}


@pytest.mark.parametrize("name", sorted(TEXT))
def test_tables_of_other_networks_are_the_papers_text(name):
    table = fill(get_suite(name), [])
    lines = TEXT[name].strip().splitlines()
    assert len(lines) == len(table.rows)
    for line, printed in zip(table.rows, lines):
        *words, parameters, madds, quality = printed.split()
        cells = dict(zip(headings(table), row_cells(table, line)))
        assert (cells["params M †"] + "M", cells[QUALITY[name]]) == (parameters, quality)
        assert float(cells["MAdds M †"]) == pytest.approx(float(madds[:-1]) * {"M": 1, "G": 1000}[madds[-1]])
        assert line.label.split(",")[0] in words
        if name in ("table2", "table4"):
            assert cells["input †"] == "{0}×{0}".format(words[-1][:3])
        if name == "table4":
            assert (words[1] == "None") == ("," not in line.label) and line.label.endswith(
                words[0] if words[1] == "None" else words[1])
        assert cells["Nano ms, not measured"] == "–" and "Nano ms †" not in cells
    assert [text for text in notes(table) if "†" in text] == ["† Published: EdgeNeXt paper, Table {}.".format(name[5:])]


def sized(variant, side, p50_ms, **changes):
    return row(variant, p50_ms, input_shape=(1, 3, side, side), **changes)


def test_a_row_has_the_measurement_at_its_own_input():
    table = fill(get_suite("table2"), [("a.json", make_report(
        sized("s", 224, 9.0)._replace(name="s_224.onnx"), sized("s", 256, 12.0), sized("s", 320, 20.0)._replace(
            name="s_320.onnx")))])
    found = [row_cells(table, line)[-2:] for line in table.rows if line.variant == "s"]
    assert [cells[0] for cells in found] == ["9.000", "12.00", "20.00"] and found[1][1] == "1.00 ×"
    assert table.rows[-1].label == "s" and not table.rows[-1].in_the_paper
    assert headings(table)[-2:] == ["ONNX Runtime ms, measured", "× s_256"]


def test_rows_that_differ_in_training_share_a_measurement():
    table = fill(get_suite("table4"), [("a.json", make_report(sized("b", 256, 60.0)))])
    assert [row_cells(table, line)[-2] for line in table.rows] == ["–", "–", "–", "–", "60.00", "60.00"]


def test_a_file_of_the_users_fills_the_row_it_is_named_for(tmp_path, capsys):
    foreign = make_row("mine.onnx")._replace(input_shape=(1, 3, 224, 224))
    foreign = foreign._replace(model=foreign.model._replace(variant="mine"))
    path = tmp_path / "a.json"
    path.write_bytes(latency_report.dump(make_report(foreign)))
    code, out, err = run_here(capsys, bench_command, "table", "table2", path, "--row", "mobilenetv2=x/mine.onnx",
                              "--json")
    assert code == 0, err
    rows = {(line["label"], line["key"]): line["measured"][-1] for line in json.loads(out)["rows"]}
    assert rows["MobileNetV2", "MobileNetV2"]["p50_ms"] == 6.5 and rows["MobileNetV3", "MobileNetV3"] is None
    assert len(rows) == 11
    assert rows["MobileNetV2", "MobileNetV2"]["flaws"] == []
    code, out, _ = run_here(capsys, bench_command, "table", "table5", path, "--row", "MobileNetV2=mine.onnx")
    assert "! MobileNetV2: its input is 1×3×224×224, that of the row 320" in out
    code, out, _ = run_here(capsys, bench_command, "table", "table2", path, "--json")
    assert json.loads(out)["rows"][-1]["label"] == "mine"


@pytest.mark.parametrize("words, found", [
    (["MobileNetV2"], "a row's name and an engine file expected"),
    (["DeiT-T=x/a.onnx"], "no report has a measurement of x/a.onnx; measured: nothing"),
    (["Nobody=a.onnx"], "choose one of: MobileNetV2, Shuf"),
    (["DeiT-T=a.onnx", "ViT-C=x/a.onnx"], "a row has one file"), (["DeiT-T=a.onnx", "DeiT-T=b.onnx"], "one file")])
def test_a_wrong_row_is_refused(capsys, words, found):
    options = [word for given in words for word in ("--row", given)]
    code, _, err = run_here(capsys, bench_command, "table", "table2", *options)
    assert code == 2 and found in err


def test_run_measures_native_rows_at_their_inputs_and_the_users_files(tmp_path, monkeypatch, capsys):
    from edgenext_deploy.benchmarks.paper import suite_run

    asked, measured = [], []
    monkeypatch.setattr(exports, "run_module", lambda module, arguments, limit: asked.append(" ".join(arguments)))
    monkeypatch.setattr(suite_run, "benchmark", lambda request, progress: measured.append(request) or make_report(
        sized("s", 256, 20.0)))
    code, _, err = run_here(capsys, bench_command, "table", "2", "--run", "--folder", tmp_path, "--row",
                            "DeiT-T=deit.onnx", "--row", "MobileViT-S=vit.onnx")
    assert code == 0, err
    words = "--variant s --target onnxruntime --output {0} --image-size {1} --name s_{1}"
    assert asked == [words.format(tmp_path, side) for side in (224, 256)]
    [request] = measured
    assert list(request.engines) == [str(tmp_path / "s_224.onnx"), str(tmp_path / "s_256.onnx"), "deit.onnx",
                                     "vit.onnx"]


def test_fig3_takes_its_latencies_from_the_repositorys_throughputs():
    suite = get_suite("fig3")
    found = {line.variant: published_of(suite, line.variant) for line in suite.rows}
    assert found["s_bn_hs"].a100_us == pytest.approx(1e6 / 3808.19)
    assert found["s_bn_hs"].top1 == 78.39 and found["xxs_bn_hs"].nano_ms is None


def test_the_nano_column_of_table3():
    suite = get_suite("table3")
    assert [published_of(suite, line.variant).nano_ms for line in suite.rows] == [21.0, 35.1, 53.0, 19.3, 31.6, 48.8]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the registry is for workstations")
def test_every_variant_is_in_the_registry():
    from edgenext_deploy.models.variants.registry import VARIANTS

    rows = [line for suite in SUITES.values() for line in suite.rows]
    assert {line.variant for line in rows if line.native} - set(VARIANTS) == set()
    assert not {line.variant for line in rows if not line.native} & set(VARIANTS)


def test_without_measurements_the_columns_are_there_and_empty():
    table = filled()
    assert headings(table)[-3:] == ["Nano ms, not measured", "A100 ms, not measured", "ONNX Runtime ms, not measured"]
    assert all(row_cells(table, line)[-3:] == ["–", "–", "–"] for line in table.rows)


def test_measured_cells_stand_in_the_column_of_their_device_with_ratios_to_s():
    comparisons = (Comparison("xxs.onnx", "s.onnx", 3.0, Interval(2.9, 3.1), 40),)
    table = filled(row("s", 20.0), row("xxs", 6.0), row("s", 47.0, make_nano_row), comparisons=comparisons)
    cells = cells_of(table, "xxs")
    assert cells["ONNX Runtime ms, measured [2]"] == "6.000"
    assert cells["× s [2]"] == "0.33 × (0.32–0.34)"
    assert cells["Nano, TensorRT ms, measured [1]"] == "–"
    assert cells_of(table, "s")["Nano, TensorRT ms, measured [1]"] == "47.00"
    assert cells["A100 ms, not measured"] == "–"


def test_rows_measured_otherwise_get_a_column_of_their_own():
    table = filled(row("xxs", 6.0), row("xxs", 4.0, mode=Mode("wall", "none", None, None, 4)))
    measured = [text for text in headings(table) if "measured [" in text]
    assert len(measured) == 2
    assert "threads 4" in " ".join(notes(table))


def test_a_flaw_is_marked_and_explained():
    table = filled(row("xxs", 6.0, stable=False, window_spread=0.2))
    assert cells_of(table, "xxs")["ONNX Runtime ms, measured"] == "6.000 !"
    assert "! xxs: not stable: medians of fifths 20 % apart" in notes(table)


def test_a_variant_that_the_table_does_not_have_is_appended_and_marked():
    table = filled(row("b", 60.0))
    assert table.rows[-1].variant == "b"
    assert row_cells(table, table.rows[-1])[0] == "b (not in this table)"


def test_every_published_figure_has_its_source():
    table = fill(get_suite("table7"), [("a.json", make_report(row("xxs_bn_hs", 6.0)))])
    lines = notes(table)
    assert "† Published: EdgeNeXt paper, Table 7." in lines
    assert "† EdgeNeXt paper, Table 3: top-1 %, params M, MAdds M, A100 µs, Nano ms of s." in lines
    assert "† EdgeNeXt README: top-1 %, params M, MAdds M of xxs_bn_hs." in lines
    fig3 = fill(get_suite("fig3"), [])
    assert "† EdgeNeXt paper, Table 3: Nano ms of xxs, xs, s." in notes(fig3)
    assert [line for line in notes(filled()) if "†" in line] == ["† Published: EdgeNeXt paper, Table 3."]


def test_published_figures_keep_the_digits_of_their_source():
    fig3 = fill(get_suite("fig3"), [])
    cells = cells_of(fig3, "xxs_bn_hs")
    assert (cells["top-1 % †"], cells["params M †"], cells["MAdds M †"], cells["A100 µs †"]) == (
        "70.33", "1.33", "260", "97")
    assert cells_of(filled(), "mobilevit_xxs")["top-1 % †"] == "69.0"


def test_a_row_from_elsewhere_does_not_fill_the_column_of_the_device():
    table = filled(row("xxs", 6.0, device="nano", device_matches=False))
    cells = cells_of(table, "xxs")
    assert cells["Nano ms, not measured"] == "–"
    assert cells["not on Nano, ONNX Runtime ms, measured"] == "6.000 !"


def test_methods_are_said():
    text = " ".join(notes(filled()))
    assert "batch 256" in text and "nowhere stated" in text and "another profiler" in text


def test_an_unknown_table_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'table3'"):
        get_suite("tabel3")


def test_the_commands(tmp_path, capsys):
    path, out = str(tmp_path / "a.json"), str(tmp_path / "t.json")
    with open(path, "wb") as stream:
        stream.write(latency_report.dump(make_report(row("s", 20.0))))
    for arguments in (["table", "table3"], ["table3"]):
        with pytest.raises(SystemExit) as stopped:
            entry.run_command(bench_command, [*arguments, path, "--json", out, "--html", str(tmp_path / "t.html")])
        assert stopped.value.code == 0
        assert "20.00" in capsys.readouterr().out
    with open(out, encoding="utf-8") as stream:
        data = json.load(stream)
    assert (data["kind"], data["name"], len(data["rows"])) == ("table", "table3", 6)
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["table3", "--also", "b"])
    assert stopped.value.code == 2


def test_run_exports_in_a_child_and_keeps_what_is_there(tmp_path, monkeypatch, capsys):
    from bench_doubles import make_report as report_of

    from edgenext_deploy.benchmarks.paper import suite_run

    asked, measured = [], []
    (tmp_path / "s.onnx").write_bytes(b"x")
    monkeypatch.setattr(exports, "run_module", lambda module, arguments, limit: asked.append(arguments[1]))
    monkeypatch.setattr(suite_run, "benchmark", lambda request, progress: measured.append(request) or report_of(
        row("s", 20.0)))
    arguments = ["table10", "--run", "--also", "xxs", "--folder", str(tmp_path), "--threads", "1", "--duration", "0.5"]
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, arguments)
    assert stopped.value.code == 0, capsys.readouterr().err
    assert asked == ["s_sdta_first", "xxs"]
    [request] = measured
    assert [path[len(str(tmp_path)) + 1:] for path in request.engines] == ["s_sdta_first.onnx", "s.onnx", "xxs.onnx"]
    assert request.runtime.threads == 1 and request.limits.duration_s == 0.5


def test_run_keeps_what_was_measured_before_a_variant_failed(tmp_path, monkeypatch, capsys):
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.paper import suite_run

    def benchmark(request, progress):
        failure = latency_report.Failure("xxs.onnx", "bad data")
        error = BadInputError("bad data")
        raise EngineFailedError(failure.engine, error, make_report(row("s", 20.0), failure=failure))

    monkeypatch.setattr(exports, "run_module", lambda module, arguments, limit: None)
    monkeypatch.setattr(suite_run, "benchmark", benchmark)
    path = str(tmp_path / "rows.json")
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["table10", "--run", "--folder", str(tmp_path), "--report", path])
    captured = capsys.readouterr()
    assert stopped.value.code == 3
    assert "20.00" in captured.out and "xxs.onnx failed: bad data" in captured.err
    assert latency_report.read(path).failure == ("xxs.onnx", "bad data")


def test_run_says_which_variant_failed_before_anything_was_measured(tmp_path, monkeypatch, capsys):
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.paper import suite_run

    def benchmark(request, progress):
        raise EngineFailedError("xxs.onnx", BadInputError("bad data"), None)

    monkeypatch.setattr(exports, "run_module", lambda module, arguments, limit: None)
    monkeypatch.setattr(suite_run, "benchmark", benchmark)
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["table10", "--run", "--folder", str(tmp_path)])
    captured = capsys.readouterr()
    assert (stopped.value.code, captured.out) == (3, "")
    assert "xxs.onnx failed: bad data; nothing was measured" in captured.err


@pytest.mark.parametrize("name", ["3", "Table 3", "TABLE3", "table3"])
def test_a_table_goes_by_its_number_too(name):
    assert get_suite(name) is get_suite("table3")


@pytest.mark.parametrize("option, value", [
    ("--threads", "2"), ("--duration", "1"), ("--warmup", "1"), ("--rounds", "2"), ("--also", "s"), ("--folder", "x"),
    ("--report", "x.json")])
def test_what_says_how_to_run_needs_run(capsys, option, value):
    code, _, err = run_here(capsys, bench_command, "table", "table3", option, value)
    assert code == 2 and "{} goes with --run".format(option) in err
