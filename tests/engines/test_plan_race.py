"""Races of plans on doubles of TensorRT with planted times: what wins, why the others lost, and what a kill leaves."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from command_lines import run_here
from doubles import race_double, tensorrt_double
from paths import ROOT
from race_bundles import tiny_graphs, write_tiny
from sweeps import sweep

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.plan_check import read_record
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.engines import onnx_to_plan
from edgenext_deploy.engines.cli import command
from edgenext_deploy.engines.racing import halving
from edgenext_deploy.machine.environment import present_environment

HERE = present_environment()._replace(tensorrt=tensorrt_double.RELEASES[race_double.RELEASE], gpu=race_double.GPU,
                                      compute_capability=race_double.CAPABILITY)
# One wrong answer that is the fastest, one that crashes, one unstable, two equal, of which one has fewer FP32 pins.
PLANTS = {"wrong": {"ms": 0.5, "wrong": True}, "crashing": {"ms": 1.0, "crash": "runs"},
          "unstable": {"ms": 2.0, "unstable_ms": 8.0}, "pinned": {"ms": 2.5}, "plain": {"ms": 2.5},
          "slow": {"ms": 5.0}}
PINS = (0, 0, 0, 3, 1, 0)
# A process that races: this machine has a GPU, and heats are short.
PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from test_plan_race import HERE
from edgenext_deploy.engines import onnx_to_plan
from edgenext_deploy.engines.racing import halving
onnx_to_plan.present_environment = lambda: HERE
halving.FULL_S = 0.3
from edgenext_deploy.engines.cli import main
main()
"""


def prepare(tmp_path, names=tuple(PLANTS), plants=PLANTS, pins=PINS):
    """Write a bundle; return its path and the variables of an environment with the doubles."""
    path = write_tiny(tmp_path / "tiny.race", *names, pins=pins)
    graphs = {given.graph: plants[given.name] for given in tiny_graphs(*names, pins=pins)}
    variables = race_double.equip(tmp_path / "site", graphs)
    return path, dict(variables, EDGENEXT_CACHE=str(tmp_path / "cache"))


@pytest.fixture
def race(tmp_path, monkeypatch, capfd):
    """Return a function that races a bundle in this process."""
    monkeypatch.setattr(onnx_to_plan, "present_environment", lambda: HERE)
    monkeypatch.setattr(halving, "FULL_S", 0.3)

    def run(*arguments, **options):
        path, variables = prepare(tmp_path, **options)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        code, out, err = run_here(capfd, command, path, "--json-file", tmp_path / "result.json", *arguments)
        assert code or not (tmp_path / "tiny.plan.racing").exists()
        return code, out, err

    yield run
    sys.modules.pop("tensorrt", None)


def table_of(path):
    return {row["name"]: row for row in read_record(path).race["entrants"]}


def check_result(tmp_path, names=tuple(PLANTS)):
    """The right one won, the table says why the others lost, and what lies there fits together."""
    plan = str(tmp_path / "tiny.plan")
    rows = table_of(plan)
    assert sorted(rows) == sorted(names)
    status = {name: row["status"] for name, row in rows.items()}
    assert status == {"wrong": "failed", "crashing": "failed", "unstable": "lost", "pinned": "lost", "plain": "won",
                      "slow": "lost"}
    assert "self-test" in rows["wrong"]["reason"] and "cannot be run" in rows["crashing"]["reason"]
    assert rows["unstable"]["reason"].startswith("unstable") and rows["slow"]["reason"].startswith("slower: ")
    assert rows["pinned"]["reason"] == "equal to plain, with 3 FP32 pins against 1"
    measured = rows["plain"]["measured"]
    assert measured["wall"]["p50_ms"] == pytest.approx(2.5, rel=0.01) and measured["gpu"]["p50_ms"] > 0
    assert measured["wall"]["low_ms"] <= measured["wall"]["p50_ms"] <= measured["wall"]["high_ms"]
    file = open_engine_file(plan)
    bundle = open_bundle(str(tmp_path / "tiny.race"))
    assert file.manifest() == bundle.manifests["plain"]
    assert (tmp_path / "tiny.json").read_bytes() == bundle.files("plain").manifest


def test_the_fastest_that_is_right_wins(race, tmp_path):
    code, out, err = race()
    assert code == 0, err
    check_result(tmp_path)
    assert "building 1 of 6, wrong" in err and "left" in err and "measuring" in err
    lines = out.splitlines()
    assert lines[0].startswith("race of tiny.race on Double GPU, tensorrt 8.2.1.8: 6 entrants")
    assert [line.split()[1] for line in lines if line.startswith("*")] == ["plain"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["race"]["winner"] == "plain" and result["self_test"]["ok"]


@pytest.mark.sweep
def test_best_of_adds_builds_of_the_winner(race, tmp_path):
    """The first build of the better graph is no faster than its third."""
    names = ("first", "second")
    plants = {"first": {"ms": [2.5, 4.0, 1.5]}, "second": {"ms": 6.0}}
    code, _, err = race("--best-of", "3", names=names, plants=plants, pins=(0, 0))
    assert code == 0, err
    rows = table_of(str(tmp_path / "tiny.plan"))
    assert {name: row["status"] for name, row in rows.items()} == {
        "first": "lost", "second": "lost", "first, build 2": "lost", "first, build 3": "won"}
    assert read_record(str(tmp_path / "tiny.plan")).onnx_sha256 == open_bundle(
        str(tmp_path / "tiny.race")).record.candidates[0].sha256


@pytest.mark.sweep
def test_the_budget_leaves_out_what_it_is_too_short_for(race, tmp_path):
    names = ("first", "second", "third")
    plants = {"first": {"ms": 2.0}, "second": {"ms": 1.0}, "third": {"ms": 1.0}}
    code, _, err = race("--budget", "0.01", names=names, plants=plants, pins=(0, 0, 0))
    assert code == 0, err
    rows = table_of(str(tmp_path / "tiny.plan"))
    assert [rows[name]["status"] for name in names] == ["won", "skipped", "skipped"]
    assert "budget of 0.01 min" in rows["second"]["reason"]


@pytest.mark.sweep
def test_no_candidate_can_be_used(race, tmp_path):
    plants = {"one": {"wrong": True}, "two": {"crash": "built"}}
    code, _, err = race(names=("one", "two"), plants=plants, pins=(0, 0))
    assert code == 5 and "one: " in err and "two: " in err and not (tmp_path / "tiny.plan").exists()


def test_what_lies_there_is_not_replaced(race, tmp_path):
    (tmp_path / "tiny.json").write_text("{}")
    plants = {"one": {}, "two": {}}
    code, _, err = race(names=("one", "two"), plants=plants, pins=(0, 0))
    assert code == 2 and "another manifest" in err and "building" not in err


def start(tmp_path, variables):
    code = PROGRAM.format(root=ROOT, tests=os.path.dirname(__file__))
    search = os.pathsep.join([variables["PYTHONPATH"], os.path.join(ROOT, "tests"), os.path.dirname(__file__)])
    return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "tiny.race")], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, **variables, "PYTHONPATH": search})


def finish(tmp_path, variables):
    process = start(tmp_path, variables)
    errors = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, errors
    assert not (tmp_path / "tiny.plan.racing").exists()
    return errors


def builds(tmp_path):
    """Return how often each graph was built."""
    return sorted(path.stat().st_size for path in (tmp_path / "site").glob("*.builds"))


def test_a_killed_race_goes_on(tmp_path):
    """Killed while the second of two is built: the first is not built again, and what was left is cleared."""
    plants = {"one": {"ms": 1.0}, "two": {"ms": 3.0, "first_build_s": 60.0}}
    _, variables = prepare(tmp_path, ("one", "two"), plants, (0, 0))
    process = start(tmp_path, variables)
    while len(builds(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert (tmp_path / "tiny.plan.racing" / "state.json").exists() and not (tmp_path / "tiny.plan").exists()
    assert "going on with the race" in finish(tmp_path, variables)
    assert builds(tmp_path) == [1, 2] and table_of(str(tmp_path / "tiny.plan"))["one"]["status"] == "won"


@pytest.mark.parametrize("seed", sweep([1, 2, 3], always=[]))
def test_killed_at_ten_random_moments(tmp_path, seed):
    """Whatever moment: the end is that of a race that was left alone, and no plan is built twice that was ready."""
    _, variables = prepare(tmp_path)
    chance = random.Random(seed)
    kills = 0
    while kills < 10:
        process = start(tmp_path, variables)
        try:
            process.communicate(timeout=chance.uniform(0.3, 4.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process.returncode == 0:  # it came to an end before: the next one races anew
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        if (tmp_path / "tiny.plan").exists():
            assert open_engine_file(str(tmp_path / "tiny.plan")).manifest()
    if process.returncode != 0:
        finish(tmp_path, variables)
    check_result(tmp_path)


def test_two_races_for_one_plan(race, tmp_path):
    from edgenext_deploy.engines.racing.work_folder import work_folder

    with work_folder(str(tmp_path / "tiny.plan")):
        code, _, err = race(names=("one", "two"), plants={"one": {}, "two": {}}, pins=(0, 0))
    assert code == 2 and "under way" in err
