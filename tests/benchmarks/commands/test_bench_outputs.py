"""The files of edgenext-bench: whatever fails, nothing that was measured is lost."""
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest
from bench_doubles import QUICK, ROOT, TINY, run

from edgenext_deploy.benchmarks import latency_report


def test_json_goes_alone_to_standard_output(capsys, fakes):
    for arguments in (("--json",), ("--json", "-")):
        code, out, _ = run(capsys, "--engine", fakes.engine(), "--iterations", "25", *arguments)
        row = json.loads(out)["records"][0]
        assert code == 0
        assert row["n"] == 25
        assert row["latency"]["min_ms"] >= 1.0
        assert row["image"] == "synthetic"
        assert row["model"] is None


def test_json_to_a_file_comes_beside_the_table(capsys, fakes, tmp_path):
    path = str(tmp_path / "new" / "rows.json")
    engines = ("--engine", fakes.engine(), "--engine", fakes.engine("b.onnx"))
    code, out, err = run(capsys, *engines, "--json", path, *QUICK)
    assert code == 0
    assert "a.onnx" in out
    assert path in err
    report = latency_report.read(path)
    assert [row.name for row in report.records] == ["a.onnx", "b.onnx"]
    assert report.records[0].interleaved_with == ("b.onnx",)
    assert len(report.comparisons) == 1
    assert report.records[0].engine == ("a.onnx", hashlib.sha256(b"a.onnx").hexdigest(), 6, None)


@pytest.mark.parametrize("output", ["json", "csv", "markdown", "html"])
def test_a_file_that_plainly_cannot_be_written_is_refused_before_measuring(capsys, fakes, tmp_path, output):
    (tmp_path / "blocker").write_bytes(b"a file, not a folder")
    calls = []
    below = tmp_path / "blocker" / "new" / "x"
    option = "--json-file" if output == "json" else "--" + output
    for path, said in ((below, "blocker is not a folder"), (tmp_path, "folder of that name")):
        code, out, err = run(capsys, "--engine", fakes.engine(script=calls.append), option, str(path), *QUICK)
        assert (code, out, calls) == (2, "", [])
        assert "cannot write {}".format(path) in err and said in err and option in err


def test_a_plot_as_png_is_refused_before_measuring_and_the_way_out_is_named(capsys, fakes, tmp_path):
    calls = []
    code, out, err = run(capsys, fakes.engine(script=calls.append), "--plot", str(tmp_path / "x.png"))
    assert (code, out, calls) == (2, "", [])
    assert "x.png: a name ending in .svg expected" in err and "rsvg-convert" in err


def test_a_plot_is_written_as_svg(capsys, fakes, tmp_path):
    code, _, _ = run(capsys, fakes.engine(), "--plot", str(tmp_path / "x.svg"), *QUICK)
    assert code == 0 and b"a.onnx over the run" in (tmp_path / "x.svg").read_bytes()
    _, out, _ = run(capsys, fakes.engine(), "--plot", "-", *QUICK)
    assert out.startswith("<?xml")


def blocking(folder):
    """Return a script of an engine in whose run a file comes where a folder was to be made."""
    def script(call):
        time.sleep(0.001)
        if call == 2:
            folder.write_bytes(b"a file, not a folder")

    return script


def test_a_file_that_cannot_be_written_costs_no_rows(capsys, fakes, tmp_path):
    path = str(tmp_path / "blocker" / "x.json")
    engine = fakes.engine(script=blocking(tmp_path / "blocker"))
    code, out, err = run(capsys, "--engine", engine, "--json", path, *QUICK)
    assert code == 2
    assert "a.onnx" in out
    assert "cannot write" in err
    assert "--json" in err


def test_one_file_that_cannot_be_written_does_not_keep_the_others_from_it(capsys, fakes, tmp_path):
    good = str(tmp_path / "good.csv")
    engine = fakes.engine(script=blocking(tmp_path / "blocker"))
    code, out, err = run(capsys, "--engine", engine, "--json", str(tmp_path / "blocker" / "x.json"), "--csv",
                         good, "--markdown", str(tmp_path / "blocker" / "x.md"), *QUICK)
    assert code == 2
    assert "a.onnx" in out
    assert err.count("cannot write") == 2
    assert "wrote " + good in err
    with open(good) as stream:
        assert "a.onnx" in stream.read()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_standard_output_does_not_cost_the_files(real, tmp_path):
    path = str(tmp_path / "rows.json")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "edgenext_deploy.benchmarks.commands.cli", "--engine", TINY,
                               "--json", path,
                               *QUICK], stdout=full, stderr=subprocess.PIPE, cwd=ROOT)
    assert done.returncode == 2
    assert "cannot write the output: No space left on device" in done.stderr.decode("utf-8")
    assert latency_report.read(path).records[0].name == "tiny_classifier.onnx"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_below_a_file_leaves_the_table(real, tmp_path):
    done = subprocess.run([sys.executable, "-m", "edgenext_deploy.benchmarks.commands.cli", "--engine", TINY,
                           "--json-file", "/dev/full", *QUICK],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
                          env=dict(os.environ, LC_ALL="C.UTF-8"))
    assert done.returncode == 2
    assert "tiny_classifier.onnx" in done.stdout.decode("utf-8")
    assert "cannot write /dev/full: No space left on device" in done.stderr.decode("utf-8")
    assert not os.path.isfile("/dev/full")  # nor is the device replaced by a file


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_report_that_cannot_go_to_standard_output_does_not_cost_the_files(real, tmp_path):
    path = str(tmp_path / "rows.csv")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "edgenext_deploy.benchmarks.commands.cli", "--engine", TINY,
                               "--json", "-",
                               "--csv", path, *QUICK], stdout=full, stderr=subprocess.PIPE, cwd=ROOT)
    assert done.returncode == 2
    assert "cannot write the output: No space left on device" in done.stderr.decode("utf-8")
    with open(path) as stream:
        assert "tiny_classifier.onnx" in stream.read()


@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_has_gone_does_not_cost_the_files(real, tmp_path, lines):
    """As with `head`: it goes before the table, or before the profiles, which come much later."""
    path = str(tmp_path / "rows.json")
    child = subprocess.Popen([sys.executable, "-m", "edgenext_deploy.benchmarks.commands.cli", "--engine", TINY,
                              "--profile",
                              "--json", path, *QUICK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    for _ in range(lines):
        child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read().decode("utf-8")
    child.stderr.close()
    assert child.wait() == 0 and "wrote" in said and "Broken pipe" not in said
    assert latency_report.read(path).records[0].name == "tiny_classifier.onnx"


def test_ctrl_c_among_the_profiles_keeps_the_rows(real, capsys, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgenext_deploy.benchmarks.profile.layer_times.profile_engine", interrupted)
    path = str(tmp_path / "rows.json")
    code, out, err = run(capsys, "--engine", TINY, "--profile", "--json", path, *QUICK)
    assert code == 130
    assert "tiny_classifier.onnx" in out and "interrupted: the report holds the latencies, and no profiles" in err
    assert not latency_report.read(path).interrupted
