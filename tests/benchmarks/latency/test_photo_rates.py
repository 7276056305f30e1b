"""Photos a second: what the command measures and says."""
import json
import os

import pytest
from command_lines import run_here
from paths import CAT, PHOTOS, TINY

from edgenext_deploy.benchmarks.commands import cli
from edgenext_deploy.benchmarks.latency.photo_rates import TITLES, PhotoRates

pytest.importorskip("onnxruntime")


def test_the_command_measures_each_way(capsys, tmp_path):
    code, out, err = run_here(capsys, cli.bench_command, "photos", TINY, PHOTOS, "--rounds", "2", "--readers", "2",
                              "--json-file", tmp_path / "rates.json")
    assert code == 0 and err.startswith("wrote ") and all(title in out for title in TITLES.values())
    document = json.loads((tmp_path / "rates.json").read_text())
    assert document["photos"] == 3 and document["threads"] == 2 and document["slowest"] == "reading"
    assert all(len(rates) == 2 and min(rates) > 0 for rates in document["rates"].values())
    assert document["against_in_turns"] == [
        one / other for one, other in zip(document["rates"]["pipelined"], document["rates"]["in_turns"])]


def test_a_photo_that_cannot_be_read_is_named(capsys, tmp_path):
    os.symlink(CAT, str(tmp_path / "cat.jpg"))
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    code, out, err = run_here(capsys, cli.bench_command, "photos", TINY, tmp_path)
    assert code == 3 and out == "" and "bad.jpg cannot be measured" in err


def test_the_slowest_stage_is_the_slower_one_of_the_two():
    rates = PhotoRates(1, 3, 2, {"in_turns": [1.0] * 3, "pipelined": [3.0, 4.0, 5.0], "reading": [9.0, 9.0, 2.0],
                                 "inference": [8.0, 8.0, 8.0]}, {})
    assert rates.slowest() == "inference" and rates.ratios("in_turns") == [3.0, 4.0, 5.0]


def test_the_ratio_of_an_even_number_of_rounds_is_between_the_middle_two():
    rates = PhotoRates(1, 4, 2, {"in_turns": [1.0] * 4, "pipelined": [1.0, 2.0, 4.0, 5.0]}, {})
    assert rates.ratio("in_turns") == 3.0
