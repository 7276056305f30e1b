import os
import subprocess

import numpy as np
import pytest
from bench_doubles import FakeSession

from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.latency import plain_route, processor_peak
from edgenext_deploy.benchmarks.latency.interleave import Limits
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, VerificationError

LIMITS = Limits(rounds=14, warmup_s=0.02, block_s=0.005)


class Children:
    """In place of the export: records each call, writes the files, or fails as told."""

    def __init__(self):
        self.calls = []
        self.code, self.stderr = 0, b""

    def run(self, arguments, **options):
        module, *rest = arguments[arguments.index("-c") + 4:]  # behind the code, the package and the process id
        self.calls.append([module, *rest])
        if self.code == 0:
            output = arguments[arguments.index("--output") + 1]
            if module.endswith("cli"):
                option = "--name" if "--name" in arguments else "--variant"
                output = os.path.join(output, arguments[arguments.index(option) + 1] + ".onnx")
            with open(output, "wb") as stream:
                stream.write(b"a graph")
        return subprocess.CompletedProcess(arguments, self.code, b"", self.stderr)


@pytest.fixture
def children(monkeypatch):
    found = Children()
    monkeypatch.setattr(subprocess, "run", found.run)
    return found


@pytest.fixture
def sessions(monkeypatch):
    """Open every file as a fake session; the plain one gives the answer `plain` holds."""
    opened = {"sessions": [], "plain": 1.0}

    class Answering(FakeSession):
        def infer_all(self, image):
            super().infer_all(image)
            value = opened["plain"] if self.path.endswith("_plain.onnx") else 1.0
            return (np.full((1, 10), value, np.float32),)

    def open_session(file, *, options, shapes=None):
        session = Answering(file.path, options.threads, (1, 3, 32, 32), lambda call: None)
        opened["sessions"].append(session)
        return session

    monkeypatch.setattr("edgenext_deploy.runtime.open.open_session", open_session)
    monkeypatch.setattr("edgenext_deploy.benchmarks.latency.engines.AnyGraphSession", open_session)
    return opened


def test_each_variant_is_exported_both_ways_and_the_pair_compared(children, sessions):
    told = []
    report = plain_route.compare_routes(["xxs", "s"], LIMITS, 1, told.append)
    assert [call[:3] for call in children.calls] == [
        ["edgenext_deploy.export.commands.cli", "--variant", "xxs"],
        ["edgenext_deploy.export.plain", "--variant", "xxs"],
        ["edgenext_deploy.export.commands.cli", "--variant", "s"],
        ["edgenext_deploy.export.plain", "--variant", "s"],
    ]
    assert children.calls[0][3:6] == ["--target", "onnxruntime", "--output"]
    assert [row.name for row in report.records] == [
        "xxs edgenext-export", "xxs plain route", "s edgenext-export", "s plain route"]
    assert [{pair.faster, pair.slower} for pair in report.comparisons] == [
        {"xxs edgenext-export", "xxs plain route"}, {"s edgenext-export", "s plain route"}]
    assert [row.rounds for row in report.records] == [14] * 4
    assert all(pair.interval is not None for pair in report.comparisons)
    assert {session.threads for session in sessions["sessions"]} == {1}
    assert all(session.closed for session in sessions["sessions"])
    assert len(told) == 4


def test_several_forms_and_opsets_are_measured_in_one_run(children, sessions):
    report = plain_route.compare_routes(
        ["xxs", "xxs"], LIMITS, formulations=["nchw-attribute-channelslast", "tokens", "tokens"], opsets=[13, 20, 13])
    assert [call[-2:] for call in children.calls] == [
        ["--formulation", "nchw-attribute-channelslast"], ["--formulation", "tokens"], ["--opset", "13"],
        ["--opset", "20"]]
    names = ["xxs nchw-attribute-channelslast", "xxs tokens", "xxs plain route opset 13", "xxs plain route opset 20"]
    assert [row.name for row in report.records] == names
    assert [{pair.faster, pair.slower} for pair in report.comparisons] == [{names[0], name} for name in names[1:]]
    assert len({session.images[-1].tobytes() for session in sessions["sessions"]}) == 1


def test_the_limit_is_the_work_at_the_peak(monkeypatch, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = str(tmp_path / "product.onnx")
    processor_peak._write_product(path)
    assert onnx.load(path).graph.node[0].op_type == "MatMul"
    monkeypatch.setattr(processor_peak, "peak_multiply_adds_per_s", lambda threads: 1024.0**3 * 50)
    assert processor_peak.limit_line("a product", path, 1).startswith(
        "limit of a product: 20.00 ms for 1074 M multiply-adds at the 53.7 G a second")


def test_both_files_of_a_pair_are_timed_on_the_same_input(children, sessions):
    plain_route.compare_routes(["xxs"], LIMITS)
    first, second = sessions["sessions"]
    np.testing.assert_array_equal(first.images[-1], second.images[-1])


def test_the_exports_leave_nothing_behind(children, sessions):
    plain_route.compare_routes(["xxs"], LIMITS)
    folder = children.calls[0][children.calls[0].index("--output") + 1]
    assert not os.path.exists(folder)


@pytest.mark.parametrize(("code", "kind"), [
    (6, MissingRuntimeError), (3, BadInputError), (5, VerificationError)])
def test_an_error_of_the_export_is_passed_on(children, sessions, code, kind):
    children.code = code
    children.stderr = (b"exporting ...\nerror: torch cannot be imported\n"
                       b"  fix: python3 -m pip install '.[export]'\n")
    with pytest.raises(kind) as raised:
        plain_route.compare_routes(["xxs"], LIMITS)
    assert raised.value.message == "torch cannot be imported"
    assert raised.value.fix == "python3 -m pip install '.[export]'"
    assert len(children.calls) == 1


def test_a_usage_error_of_click_is_passed_on_as_one_line(children, sessions, capsys):
    children.code, children.stderr = 2, b"Usage: x\nTry --help\n\nError: No such option: --target\n"
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["routes", "--variant", "xxs"])
    assert stopped.value.code == 2
    assert "error: No such option: --target" in capsys.readouterr().err


def test_a_crash_of_the_export_is_a_bug_with_its_last_line(children, sessions):
    children.code, children.stderr = -11, b"Traceback\nSegmentation fault\n"
    with pytest.raises(RuntimeError, match="Segmentation fault"):
        plain_route.compare_routes(["xxs"], LIMITS)


def test_an_export_without_end_is_stopped(sessions, monkeypatch):
    def run(arguments, **options):
        raise subprocess.TimeoutExpired(arguments, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(VerificationError, match="took more than 600 s"):
        plain_route.compare_routes(["xxs"], LIMITS)


@pytest.mark.parametrize("answer", [1.01, float("nan")])
def test_two_different_networks_are_not_compared(children, sessions, answer):
    sessions["plain"] = answer
    with pytest.raises(VerificationError, match="xxs: the two routes compute different results"):
        plain_route.compare_routes(["xxs"], LIMITS)


def test_ctrl_c_keeps_the_pairs_measured_before(children, sessions, monkeypatch):
    real_run = plain_route.run.Run.measure
    seen = []

    def run(*arguments):
        seen.append(arguments)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real_run(*arguments)

    monkeypatch.setattr(plain_route.run.Run, "measure", run)
    report = plain_route.compare_routes(["xxs", "xs", "s"], LIMITS)
    assert report.interrupted
    assert [row.name for row in report.records] == ["xxs edgenext-export", "xxs plain route"]
    assert len(seen) == 2


def test_an_error_keeps_the_pairs_measured_before(children, sessions, monkeypatch):
    real_run = plain_route.run.Run.measure
    error = VerificationError("wrong")
    seen = []

    def run(*arguments):
        seen.append(arguments)
        if len(seen) == 2:
            raise error
        return real_run(*arguments)

    monkeypatch.setattr(plain_route.run.Run, "measure", run)
    with pytest.raises(plain_route.run.EngineFailedError, match="xs failed: wrong") as found:
        plain_route.compare_routes(["xxs", "xs", "s"], LIMITS)
    report = found.value.report
    assert (found.value.exit_code, found.value.error) == (5, error)
    assert [row.name for row in report.records] == ["xxs edgenext-export", "xxs plain route"]
    assert report.failure == ("xs", "wrong") and len(seen) == 2


def test_a_file_that_fails_in_its_warm_up_keeps_the_pairs_before_and_is_named(children, sessions, monkeypatch):
    real_run = plain_route.run.Run.measure
    failure = plain_route.latency_report.Failure("xs plain route", "bad data")
    seen = []

    def run(*arguments):
        seen.append(arguments)
        if len(seen) == 2:
            raise plain_route.run.EngineFailedError(failure.engine, BadInputError("bad data"), None)
        return real_run(*arguments)

    monkeypatch.setattr(plain_route.run.Run, "measure", run)
    with pytest.raises(plain_route.run.EngineFailedError, match="xs plain route failed: bad data") as found:
        plain_route.compare_routes(["xxs", "xs", "s"], LIMITS)
    assert found.value.exit_code == 3 and len(seen) == 2
    assert found.value.report.failure == failure and len(found.value.report.records) == 2


def test_the_subcommand_prints_the_ratio(children, sessions, capsys):
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["routes", "--variant", "xxs", "--rounds", "12"])
    captured = capsys.readouterr()
    assert stopped.value.code == 0
    assert "xxs edgenext-export" in captured.out
    assert "interval" in captured.out
    assert "exporting xxs" in captured.err
