import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from bench_doubles import QUICK, ROOT, TINY, FakeSession, run
from cpu_time import cpu_seconds

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.runtime.cuda import CudaError


def test_one_engine_is_measured_and_shown(capsys, fakes):
    code, out, err = run(capsys, "--engine", fakes.engine(), "--threads", "3", *QUICK)
    assert code == 0
    assert "a.onnx" in out
    assert "fake 9.9, CPUExecutionProvider, 3 threads" in out
    assert "p50" in out
    assert err == ""
    assert fakes.sessions[0].threads == 3
    assert fakes.sessions[0].closed


def test_several_engines_are_compared_with_the_first(capsys, fakes):
    # Far enough apart that other work on the machine cannot hide it.
    slow = fakes.engine("slow.onnx", lambda call: time.sleep(0.006))
    fast, other = fakes.engine("fast.onnx"), fakes.engine("other.onnx", lambda call: time.sleep(0.03))
    code, out, _ = run(capsys, "--engine", slow, "--engine", fast, "--engine", other, *QUICK)
    assert code == 0
    assert "fast.onnx is " in out
    assert "faster than slow.onnx" in out
    assert "slow.onnx is " in out
    assert "faster than other.onnx" in out


def test_samples_can_be_left_out(capsys, fakes):
    _, out, _ = run(capsys, "--engine", fakes.engine(), "--iterations", "25", "--json")
    row = json.loads(out)["records"][0]
    assert len(row["samples"]["latency_ms"]) == len(row["samples"]["start_s"]) == 25
    _, out, _ = run(capsys, "--engine", fakes.engine(), "--iterations", "25", "--json", "--no-samples")
    assert json.loads(out)["records"][0]["samples"] is None


def test_csv_and_markdown_go_alone_to_standard_output(capsys, fakes):
    _, out, err = run(capsys, "--engine", fakes.engine(), "--iterations", "25", "--csv")
    assert out.startswith("name,") and len(out.splitlines()) == 2 and err == ""
    _, out, _ = run(capsys, "--engine", fakes.engine(), "--iterations", "25", "--markdown", "-")
    assert out.startswith("### Latency, ms per inference")


def test_another_device_is_refused_unless_allowed_and_then_marked(capsys, fakes):
    code, out, err = run(capsys, "--engine", fakes.engine(), "--device", "nano", *QUICK)
    assert (code, out) == (4, "") and "--allow-mismatch" in err
    code, out, _ = run(capsys, "--engine", fakes.engine(), "--device", "nano", "--allow-mismatch", *QUICK)
    assert code == 0
    assert "[not nano]" in out and "Warning (device-mismatch)" in out


def test_the_reference_comes_first_and_a_wrong_engine_is_flagged(capsys, fakes, monkeypatch):
    right, wrong = fakes.engine("right.onnx"), fakes.engine("wrong.onnx")
    infer = FakeSession.infer_all

    def infer_all(self, image):
        outputs = infer(self, image)
        return (outputs[0] + (0.5 if self.path == wrong else 1.0),)

    monkeypatch.setattr(FakeSession, "infer_all", infer_all)
    code, out, _ = run(capsys, "--engine", wrong, "--engine", fakes.engine("same.onnx"), "--reference", right, "--json",
                       *QUICK)
    rows = json.loads(out)["records"]
    assert code == 0
    assert [row["name"] for row in rows] == ["right.onnx", "wrong.onnx", "same.onnx"]
    assert [row["is_reference"] for row in rows] == [True, False, False]
    assert [row["outputs"] and row["outputs"]["passed"] for row in rows] == [None, False, True]
    assert rows[1]["outputs"]["max_relative_difference"] == pytest.approx(0.5)
    assert rows[1]["cautions"][0]["code"] == "outputs-differ"
    assert all(pair["faster"] == "right.onnx" or pair["slower"] == "right.onnx"
               for pair in json.loads(out)["comparisons"])
    _, out, _ = run(capsys, "--engine", wrong, "--reference", right, *QUICK)
    assert "[WRONG OUTPUTS]" in out


def test_every_engine_gets_the_wish_for_a_cuda_graph(capsys, fakes):
    run(capsys, "--engine", fakes.engine("a.plan"), "--engine", fakes.engine("b.onnx"), "--cuda-graph", *QUICK)
    assert [session.options.cuda_graph for session in fakes.sessions] == [True, True]
    run(capsys, "--engine", fakes.engine("a.plan"), *QUICK)
    assert fakes.sessions[-1].options.cuda_graph is None


def test_transfers_that_cannot_be_told_apart_are_said_to_be(capsys, fakes):
    _, out, _ = run(capsys, "--engine", fakes.engine(), "--exclude-transfers", *QUICK)
    assert "Warning (transfers-not-separate): a.onnx: --exclude-transfers makes no difference" in out


def test_what_torch_needs_is_said_where_it_is_not(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgenext_deploy.models.torch_session", None)
    code, out, err = run(capsys, "--engine", "torch:xxs", *QUICK)
    assert (code, out) == (6, "")
    assert "torch:xxs needs Python 3.10 or newer with torch" in err


def test_engines_with_the_same_name_stay_apart(capsys, fakes):
    first, second = fakes.engine("one/a.onnx"), fakes.engine("two/a.onnx")
    _, out, _ = run(capsys, "--engine", first, "--engine", second, "--engine", second, "--iterations", "10",
                    "--json")
    assert [row["name"] for row in json.loads(out)["records"]] == [
        "one/a.onnx", "two/a.onnx", "two/a.onnx (2)"]


def test_without_a_manifest_the_input_is_fixed_and_looks_like_pixels(capsys, fakes):
    fakes.shape = (2, 3, 8, 16)
    code, out, _ = run(capsys, "--engine", fakes.engine(), "--iterations", "12", "--json")
    assert code == 0
    image = fakes.sessions[0].images[0]
    assert (image.shape, image.dtype) == ((2, 3, 8, 16), np.float32)
    assert 0.0 <= image.min() < 0.05 < 0.95 < image.max() <= 1.0
    row = json.loads(out)["records"][0]
    assert row["batch"] == 2
    assert row["throughput_per_s"] == pytest.approx(2e3 / row["latency"]["mean_ms"])
    run(capsys, "--engine", fakes.engine(), "--iterations", "12")
    np.testing.assert_array_equal(fakes.sessions[1].images[0], image)


def test_dynamic_shapes_are_a_usage_error(capsys, fakes):
    fakes.shape = (-1, 3, 8, 8)
    code, out, err = run(capsys, "--engine", fakes.engine(), *QUICK)
    assert (code, out) == (2, "")
    assert "not fixed: [-1, 3, 8, 8]" in err
    assert fakes.sessions[0].closed


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_keeps_the_rows_and_says_so(capsys, fakes, tmp_path, name):
    def interrupted(call):
        time.sleep(0.001)
        if call == 200:
            os.kill(os.getpid(), getattr(signal, name))

    path = str(tmp_path / "rows.json")
    code, out, err = run(capsys, "--engine", fakes.engine(script=interrupted), "--duration", "60",
                         "--warmup", "0.05", "--json", path)
    assert code == 128 + getattr(signal, name)
    assert "Interrupted" in out
    assert "interrupted" in err
    report = latency_report.read(path)
    assert report.interrupted
    assert report.records[0].interrupted
    assert 50 < report.records[0].n < 200


@pytest.mark.parametrize("name, word", [("SIGINT", "interrupted"), ("SIGTERM", "terminated")])
def test_a_signal_before_the_first_row_ends_without_a_report(capsys, fakes, name, word):
    def interrupted(call):
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(0.01)

    code, out, err = run(capsys, "--engine", fakes.engine(script=interrupted), *QUICK)
    assert (code, out) == (128 + getattr(signal, name), "")
    assert word in err


def raising_at(call_number, error):
    def script(call):
        time.sleep(0.001)
        if call == call_number:
            raise error

    return script


BROKEN = CudaError("the GPU cannot run it: an illegal address", "restart the process", sticky=True)


@pytest.mark.parametrize("first", [True, False])
def test_an_engine_that_fails_in_the_run_does_not_cost_the_rows(capsys, fakes, tmp_path, first):
    path = str(tmp_path / "rows.json")
    engines = [fakes.engine("good.onnx"), fakes.engine("bad.onnx", raising_at(300, BROKEN))]
    names = engines[::-1] if first else engines
    code, out, err = run(capsys, "--engine", names[0], "--engine", names[1], "--duration", "60", "--warmup", "0.05",
                         "--json", path)
    assert code == BROKEN.exit_code == 1
    assert "bad.onnx [FAILED]" in out and "Failed: bad.onnx: the GPU cannot run it: an illegal address." in out
    assert "error: bad.onnx failed: the GPU cannot run it: an illegal address; the report holds" in err
    assert "fix: restart the process" in err and "bug" not in err
    report = latency_report.read(path)
    assert report.failure == ("bad.onnx", BROKEN.message) and not report.interrupted
    assert len(report.comparisons) == 1
    rows = {row.name: row for row in report.records}
    assert sorted(rows) == ["bad.onnx", "good.onnx"]
    for row in rows.values():
        assert row.failure == report.failure and row.n > 10
        assert "engine-failed" in [caution.code for caution in row.cautions]
    assert rows["bad.onnx"].n < 300
    assert all(session.closed for session in fakes.sessions)


def test_the_exit_code_is_that_of_the_error_in_the_run(capsys, fakes):
    engines = ("--engine", fakes.engine(), "--engine", fakes.engine("b.onnx", raising_at(1, BadInputError("bad data"))))
    code, out, _ = run(capsys, *engines, "--warmup", "0", "--json")
    document = json.loads(out)
    assert code == 3
    assert [row["name"] for row in document["records"]] == ["a.onnx"]  # b.onnx was never timed
    assert document["failure"] == {"engine": "b.onnx", "error": "bad data"}


def test_any_exception_in_the_run_keeps_the_rows_and_debug_shows_where(capsys, fakes):
    engine = fakes.engine(script=raising_at(100, RuntimeError("[E:onnxruntime]\n out of memory")))
    code, out, err = run(capsys, "--engine", engine, "--duration", "60", "--warmup", "0.05", "--debug")
    assert code == 1
    assert "a.onnx [FAILED]" in out
    assert "error: a.onnx failed: RuntimeError: [E:onnxruntime] out of memory; the report" in err
    assert "Traceback" in err and "in script" in err


@pytest.mark.parametrize("call", [0, 1])
def test_an_engine_that_fails_before_anything_was_measured_is_named(capsys, fakes, call):
    engine = fakes.engine(script=raising_at(call, BROKEN))
    code, out, err = run(capsys, "--engine", engine, "--warmup", "0")
    assert (code, out) == (1, "")
    assert err == ("error: a.onnx failed: the GPU cannot run it: an illegal address; nothing was measured\n"
                   "  fix: restart the process\n")


def test_a_reference_among_the_engines_is_measured_once(capsys, fakes):
    path = fakes.engine("a.onnx")
    code, out, err = run(capsys, path, os.path.relpath(path), "--reference", path, "--json", *QUICK)
    [row] = json.loads(out)["records"]
    assert code == 0 and (row["name"], row["is_reference"], row["outputs"]) == ("a.onnx", True, None)
    assert err.count("is the reference itself") == 2


def test_a_device_that_is_not_here_is_answered_with_the_estimate(capsys, fakes):
    code, _, err = run(capsys, fakes.engine("a.onnx"), "--device", "jetson-nano", *QUICK)
    assert code == 4 and "a.onnx --device nano estimates without the device" in err


def test_an_engine_that_fails_beside_its_reference_is_no_bug_of_the_command(capsys, fakes):
    engine = fakes.engine("a.onnx", raising_at(0, RuntimeError("CUDA out of memory")))
    code, out, err = run(capsys, "--engine", engine, "--reference", fakes.engine("ref.onnx"), *QUICK)
    assert (code, out) == (1, "")
    assert "error: the comparison of a.onnx with ref.onnx failed: RuntimeError: CUDA out of memory; nothing was" in err
    assert "a bug" not in err and all(session.closed for session in fakes.sessions)


@pytest.mark.parametrize(("arguments", "code", "said"), [
    ((), 2, "Missing argument 'ENGINE...'"),
    (("--engine", "no_such.onnx"), 3, "no_such.onnx"),
    (("--engine", TINY, "--device", "nano"), 4, "--device nano was asked for"),
    (("--engine", TINY, "--device", "nanoo"), 2, "did you mean 'nano'"),
    (("--engine", TINY, "--duration", "0"), 2, "duration"),
    (("--engine", TINY, "--iterations", "0"), 2, "iterations"),
    (("--engine", TINY, "--threads", "0"), 2, "threads"),
    (("--engine", TINY, "routes"), 2, "--engine does not go with the command routes"),
    (("--warmup", "9", "routes"), 2, "--warmup does not go with the command routes"),
    (("--device", "nano", "table3"), 2, "--device does not go with the command table3"),
    (("nonsense",), 2, "No command and no engine file 'nonsense'"),
    (("tabel",), 2, "did you mean 'table'"),
    (("no_such.plan", "--threads", "1"), 3, "no_such.plan"),
    (("--engine", TINY, "--json-file", "x", "--csv", "x"), 2, "two outputs go to x"),
    (("--engine", TINY, "--json-file", "x", "--csv", "./x"), 2, "two outputs go to ./x"),
    (("--engine", TINY, "--json", "--csv"), 2, "two outputs go to standard output"),
    (("--engine", TINY, "--reference", "no_such.onnx"), 3, "no_such.onnx"),
])
def test_bad_requests(capsys, fakes, arguments, code, said):
    fakes.scripts[TINY] = lambda call: None
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_a_provider_that_is_not_installed(capsys, real):
    found, out, err = run(capsys, "--engine", TINY, "--provider", "NoSuchProvider")
    assert (found, out) == (2, "") and "no NoSuchProvider" in err


def test_help_is_quick_and_names_every_option():
    command_line = [sys.executable, "-m", "edgenext_deploy.benchmarks.commands.cli", "--help"]
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    text = subprocess.check_output(command_line, cwd=ROOT, env=environment).decode("utf-8")
    assert cpu_seconds(command_line, cwd=ROOT, env=environment) < 1.0  # 0.2 s alone; importing torch takes more
    for option in ("--engine", "--reference", "--device", "--allow-mismatch", "--duration", "--warmup", "--iterations",
                   "--include-transfers / --exclude-transfers", "--cuda-graph / --no-cuda-graph", "--threads",
                   "--provider", "--trust", "--no-samples", "--json", "--csv", "--markdown", "routes"):
        assert option in text


def test_importing_the_command_loads_no_numpy_and_no_rich():
    code = ("import sys, edgenext_deploy.benchmarks.commands.cli; "
            "print([name for name in ('numpy', 'rich', 'onnxruntime') if name in sys.modules])")
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).decode("utf-8").strip() == "[]"


# For real: a tiny network in ONNX Runtime.


def test_a_real_engine_with_its_manifest(capsys, real, tmp_path):
    import onnxruntime

    code, out, _ = run(capsys, "--engine", TINY, "--threads", "1", "--json", *QUICK)
    row = json.loads(out)["records"][0]
    assert code == 0
    assert row["session"]["version"] == onnxruntime.__version__
    assert row["session"]["threads"] == 1
    assert row["image"] == "golden"
    assert row["model"]["variant"] == "tiny"
    assert row["model"]["weights"]["random"] is False
    latency = row["latency"]
    figures = [latency[name] for name in ("min_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms")]
    assert figures[0] > 0.0
    assert figures == sorted(figures)
    path = tmp_path / "row.json"
    path.write_text(out)
    assert latency_report.read(str(path)).records[0].n == row["n"] >= 10


def test_random_weights_are_named_in_every_output(capsys, real, tmp_path):
    with open(TINY, "rb") as stream:
        content = stream.read()
    with open(os.path.splitext(TINY)[0] + ".json", encoding="utf-8") as stream:
        manifest = json.load(stream)
    manifest["weights"]["random"] = True
    (tmp_path / "tiny.onnx").write_bytes(content)
    (tmp_path / "tiny.json").write_text(json.dumps(manifest), encoding="utf-8")
    _, out, _ = run(capsys, "--engine", str(tmp_path / "tiny.onnx"), *QUICK)
    assert "Random weights: tiny.onnx" in out
    _, out, _ = run(capsys, "--engine", str(tmp_path / "tiny.onnx"), "--json", *QUICK)
    assert json.loads(out)["records"][0]["model"]["weights"]["random"] is True


def test_a_file_that_its_manifest_does_not_describe_is_refused(capsys, real, tmp_path):
    with open(os.path.splitext(TINY)[0] + ".json", "rb") as stream:
        (tmp_path / "tiny.json").write_bytes(stream.read())
    (tmp_path / "tiny.onnx").write_bytes(b"something else")
    code, _, err = run(capsys, "--engine", str(tmp_path / "tiny.onnx"), *QUICK)
    assert code == 3
    assert "not the file its manifest describes" in err


def test_engines_are_arguments_and_options_mean_the_same(capsys, fakes):
    first, second = fakes.engine("a.onnx"), fakes.engine("b.onnx")
    for arguments in ((first, second), ("--engine", first, "--engine", second), ("--engine", first, second),
                      ("measure", first, second), (first, "--debug", second), ("--debug", first, second)):
        code, out, err = run(capsys, *arguments, "--iterations", "12", "--json")
        assert code == 0, err
        assert [row["name"] for row in json.loads(out)["records"]] == ["a.onnx", "b.onnx"]


def test_the_word_after_json_is_an_engine_unless_it_is_the_old_spelling_of_a_file(capsys, fakes, tmp_path):
    first, second = fakes.engine("a.onnx"), fakes.engine("b.onnx")
    code, out, err = run(capsys, first, "--json", second, "--iterations", "12")
    assert code == 0 and "note" not in err
    assert [row["name"] for row in json.loads(out)["records"]] == ["a.onnx", "b.onnx"]
    path = tmp_path / "rows.json"
    code, out, err = run(capsys, first, "--json", str(path), "--iterations", "12")
    assert code == 0 and "a.onnx" in out and "note: --json takes no file any more" in err
    assert len(latency_report.read(str(path)).records) == 1
    with open(second, "rb") as stream:
        assert stream.read() == b"b.onnx"


def test_the_aliases_of_the_tables_are_hidden_and_work(capsys):
    _, out, _ = run(capsys, "--help")
    assert "table3" not in out.split("Commands:")[1]
    code, out, _ = run(capsys, "table3")
    assert code == 0 and out == run(capsys, "table", "table3")[1]
    code, out, _ = run(capsys, "fig3", "--help")
    assert code == 0 and "The same as: table fig3." in out and "--run" in out
