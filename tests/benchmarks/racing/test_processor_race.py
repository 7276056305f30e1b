"""Races on this processor: a wrong graph never wins, the files are the bundle's, the winner is the fastest there is."""
import importlib.util
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from command_lines import run_here
from race_bundles import named, tiny_graphs, tiny_manifest, write_tiny
from sweeps import sweep

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.benchmarks import race
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.bundle.writing import bundle_bytes
from edgenext_deploy.engines.racing import halving
from edgenext_deploy.engines.racing.heats import HeatEngine, run_heat
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError, VerificationError
from edgenext_deploy.runtime.options import available_threads

pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def short_heats(monkeypatch):
    monkeypatch.setattr(halving, "FULL_S", 0.1)


def wrong(graph):
    """Return a graph with other weights."""
    start = graph.index(b"\x4a\x78") + 2  # the raw data of 30 numbers
    return graph[:start] + np.arange(30, dtype=np.float32).tobytes() + graph[start + 120:]


def test_a_wrong_graph_does_not_win(tmp_path):
    right = tiny_graphs("right", "other")
    graphs = [named("wrong", wrong(right[0].graph), tiny_manifest()), *right]
    (tmp_path / "tiny.race").write_bytes(bundle_bytes("tiny", graphs, {"scaled": "drift"}))
    said = []
    found = race(tmp_path / "tiny.race", runtimes=["onnxruntime"], threads=[1], optimizations=["all"],
                 progress=said.append)
    rows = {row.candidate: row for row in found.table.entrants}
    assert rows["wrong"].status == "failed" and "self-test" in rows["wrong"].reason
    assert found.table.won.candidate in ("right", "other") and found.table.left_out == {"scaled": "drift"}
    assert found.path == str(tmp_path / "tiny.onnx") and found.options.threads == 1
    file = open_engine_file(found.path)
    assert file.manifest() == open_bundle(tmp_path / "tiny.race").manifests[found.table.won.candidate]
    assert json.loads((tmp_path / "tiny.onnx.race.json").read_text())["winner"] == found.table.winner
    assert found.table.won.self_test.ok and found.table.won.measured.gpu is None
    assert sorted(os.listdir(str(tmp_path))) == ["tiny.json", "tiny.onnx", "tiny.onnx.race.json", "tiny.race"]
    assert said[0].startswith("writing 1 of 3, wrong onnxruntime 1 thread")


def test_the_command_tries_runtimes_threads_and_levels(tmp_path, capfd):
    path = write_tiny(tmp_path / "tiny.race", "one")
    code, out, err = run_here(capfd, bench_command, "race", path, "--runtime", "onnxruntime", "-o",
                              tmp_path / "fast.onnx", "--threads", "1", "--optimization", "all", "--optimization",
                              "basic", "--json-file", tmp_path / "result.json")
    assert code == 0, err
    data = json.loads((tmp_path / "result.json").read_text())
    assert sorted(row["name"] for row in data["table"]["entrants"]) == [
        "one onnxruntime 1 thread", "one onnxruntime 1 thread basic"]
    assert "next: edgenext-run {} --runtime onnxruntime --threads 1".format(tmp_path / "fast.onnx") in out
    assert "measuring" in err and (tmp_path / "fast.json").exists()


def test_what_is_refused(tmp_path, monkeypatch):
    path = write_tiny(tmp_path / "tiny.race", "one")
    for options in ({"runtimes": ["tensorrt"]}, {"runtimes": ["tvm"]}, {"threads": [0]}, {"optimizations": ["most"]},
                    {"output": "a.plan"}, {"output": str(tmp_path / "no" / "such" / "\0.onnx")}):
        with pytest.raises((UsageError, ValueError)):
            race(path, **options)
    (tmp_path / "tiny.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match="none of the bundle's graphs"):
        race(path)
    with pytest.raises(BadInputError):
        race(tmp_path / "none.race")
    if importlib.util.find_spec("openvino") is None:
        with pytest.raises(MissingRuntimeError, match="OpenVINO is not installed"):
            race(path, tmp_path / "x.onnx", runtimes=["openvino"])


def test_none_is_right(tmp_path):
    graph = tiny_graphs("one")[0].graph
    (tmp_path / "tiny.race").write_bytes(bundle_bytes("tiny", [named("one", wrong(graph), tiny_manifest())]))
    with pytest.raises(VerificationError, match="one onnxruntime"):
        race(tmp_path / "tiny.race", runtimes=["onnxruntime"], threads=[1])


def test_one_that_crashes_costs_only_itself(tmp_path, monkeypatch):
    """The child says who was at work; the heat goes on without that one."""
    path = open_bundle(write_tiny(tmp_path / "tiny.race", "one")).write("one", str(tmp_path / "one.onnx"))
    (tmp_path / "crash").mkdir()
    (tmp_path / "crash" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'openvino':\n"
        "            os.kill(os.getpid(), 11)\n"
        "sys.meta_path.insert(0, Finder())\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "crash"))
    options = {"threads": 1}
    found = run_heat([HeatEngine("a", path, options, True), HeatEngine("b", path, dict(options, runtime="openvino")),
                      HeatEngine("c", path, dict(options, optimization="basic"), True)], 0.05)
    assert found.failed == {"b": "crashed (signal 11)"} and sorted(found.measured) == ["a", "c"] == sorted(found.tests)


def test_both_runtimes_race_where_openvino_is_installed(tmp_path):
    pytest.importorskip("openvino")
    found = race(write_tiny(tmp_path / "tiny.race", "one"), threads=[1], optimizations=["all"])
    assert sorted((row.options["runtime"], row.self_test.ok) for row in found.table.entrants) == [
        ("onnxruntime", True), ("openvino", True)]
    assert "OpenVINO 20" in found.table.machine and "--runtime " in found.arguments


PROGRAM = """
import sys
from edgenext_deploy.benchmarks.commands.cli import main
from edgenext_deploy.engines.racing import halving
halving.FULL_S = 0.1
sys.exit(main())
"""


@pytest.mark.parametrize("seed", sweep([1, 2], always=[]))
def test_killed_at_random_moments_it_goes_on(tmp_path, seed):
    """Each kill leaves no half file; the command that is given again ends as if nothing had happened."""
    path = write_tiny(tmp_path / "tiny.race", "one", "two")
    command = [sys.executable, "-c", PROGRAM, "race", path, "--runtime", "onnxruntime", "--threads", "1"]
    chance, kills, code, errors = random.Random(seed), 0, None, b""
    while code is None and kills < 10:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            errors = process.communicate(timeout=chance.uniform(0.5, 1.5))[1]
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            if (tmp_path / "tiny.onnx").exists():
                open_engine_file(str(tmp_path / "tiny.onnx")).manifest()
    if code is None:
        process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 timeout=120, check=False)
        code, errors = process.returncode, process.stderr
    assert code == 0 and kills, errors.decode()
    table = json.loads((tmp_path / "tiny.onnx.race.json").read_text())
    assert sorted({row["candidate"] for row in table["entrants"]}) == ["one", "two"]
    assert sorted(os.listdir(str(tmp_path))) == ["tiny.json", "tiny.onnx", "tiny.onnx.race.json", "tiny.race"]


@pytest.mark.sweep
@pytest.mark.serial
def test_the_winner_is_within_a_fiftieth_of_the_best_in_ten_of_ten(tmp_path, monkeypatch):
    """Ten races against everything there is, measured in turns: needs a quiet machine, and takes half an hour."""
    pytest.importorskip("torch")
    from edgenext_deploy.benchmarks.racing.exhaustive import compare_with_exhaustive
    from edgenext_deploy.export import export_race

    monkeypatch.setattr(halving, "FULL_S", 3.0)
    bundle = export_race("xxs", tmp_path, target="onnxruntime").path
    found = compare_with_exhaustive(bundle, races=10)
    assert max(found.regrets) <= 1.02, found


def test_threads_are_all_and_half(tmp_path):
    from edgenext_deploy.benchmarks.racing.processors import _threads

    assert _threads(()) == tuple(dict.fromkeys((available_threads(), max(1, available_threads() // 2))))
    assert _threads((3, 1, 3)) == (3, 1)
