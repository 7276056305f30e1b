"""Plans without a sidecar run only with --trust, from every command that runs engines; and how a plan is run."""
import json
import shutil

import pytest
from command_lines import run_here
from doubles import gpu
from paths import CAT

from edgenext_deploy.benchmarks.commands import cli as bench_cli
from edgenext_deploy.run import cli

PHOTO = CAT


@pytest.fixture
def plans(monkeypatch, tmp_path):
    """A plan of the double with its sidecar, and the same plan under another name without one."""
    pytest.importorskip("onnxruntime")
    gpu.install(monkeypatch, "10.3")
    known = gpu.write_plan(tmp_path, "10.3")
    bare = str(tmp_path / "bare.plan")
    shutil.copy(known, bare)
    shutil.copy(str(tmp_path / "tiny_classifier.json"), str(tmp_path / "bare.json"))
    return known, bare


def test_run(plans, capfd):
    known, bare = plans
    code, out, err = run_here(capfd, cli.command, "--engine", known, PHOTO)
    assert code == 0, err
    assert "CUDA, " in out.splitlines()[0]
    assert "threads" not in out.splitlines()[0]
    code, _, err = run_here(capfd, cli.command, "--engine", bare, PHOTO)
    assert code == 3 and "--trust" in err
    code, _, err = run_here(capfd, cli.command, "--engine", bare, "--trust", PHOTO)
    assert code == 0, err


def test_bench(plans, capfd):
    known, bare = plans
    quick = ["--iterations", "20", "--warmup", "0.05", "--json"]
    code, _, err = run_here(capfd, bench_cli.bench_command, "--engine", bare, *quick)
    assert code == 3 and "--trust" in err
    code, out, err = run_here(capfd, bench_cli.bench_command, "--engine", known, "--engine", bare, "--trust", *quick)
    assert code == 0, err
    rows = json.loads(out)["records"]
    assert [row["session"]["provider"] for row in rows] == ["CUDA", "CUDA"]
    assert rows[0]["model"]["precision"] == "fp32"


@pytest.mark.parametrize("flags, zero_copy, cuda_graph", [
    ((), "none", True), (("--zero-copy", "--no-cuda-graph"), "input and outputs", False),
    (("--no-zero-copy", "--cuda-graph"), "none", True)])
def test_run_says_how_a_plan_is_to_be_run(plans, capfd, monkeypatch, flags, zero_copy, cuda_graph):
    opened = []
    warm_up = cli._warm_up
    monkeypatch.setattr(cli, "_warm_up", lambda view: (opened.append(view.network.session.describe()), warm_up(view)))
    code, _, err = run_here(capfd, cli.command, "--engine", plans[0], *flags, PHOTO)
    assert code == 0, err
    assert [(found["zero_copy"], found["cuda_graph"]) for found in opened] == [(zero_copy, cuda_graph)]
