import json
import os
import subprocess
import sys

import pytest
from command_lines import run_here

from edgenext_deploy.commands import screen
from edgenext_deploy.models.cli import models_command

PARAMETERS = {
    "xxs": 1327216, "xs": 2336804, "s": 5586832, "b": 18511292, "xxs_bn_hs": 1326184, "xs_bn_hs": 2335008,
    "s_bn_hs": 5584000, "mobilevit_xxs": 1272024, "mobilevit_xs": 2317848, "mobilevit_s": 5578632,
    "mobilevitv2_050": 1370593, "mobilevitv2_200": 18449329, "s_rw": 7826512}


def run(capsys, *arguments):
    return run_here(capsys, models_command, *arguments)


def test_json_lists_every_variant_of_a_group(capsys):
    code, out, err = run(capsys, "--json", "--group", "paper")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert {row["name"]: row["parameters"] for row in rows} == {
        name: count for name, count in PARAMETERS.items() if not name.startswith("mobilevit") and name != "s_rw"}
    for row in rows:
        assert set(row) == {
            "name", "family", "task", "group", "note", "parameters", "madds", "madds_224", "madds_256", "top1",
            "image_size", "crop_pct", "published", "checkpoints"}
        assert row["top1"] == row["checkpoints"][0]["top1"]
        assert set(row["checkpoints"][0]) == {
            "file", "url", "layout", "top1", "crop_pct", "source", "sha256", "mirrors"}
        assert 0 < row["madds_224"] < row["madds_256"]


def test_json_of_one_variant_has_published_figures_with_sources(capsys):
    code, out, _ = run(capsys, "--json", "--variant", "s")
    assert code == 0
    [row] = json.loads(out)
    assert row["madds_256"] == pytest.approx(1260.589e6, rel=1e-6)
    assert [item["file"] for item in row["checkpoints"]] == ["edgenext_small.pth", "edgenext_small_usi.pth"]
    [latency] = row["published"]["nano_latency"]
    assert (latency["value"], latency["unit"], latency["image_size"]) == (48.8, "ms", 256)
    assert latency["source"] == "EdgeNeXt paper, Table 3"
    assert "not stated" in latency["note"]


def test_json_file_holds_what_json_prints(capsys, tmp_path):
    path = tmp_path / "rows.json"
    assert run(capsys, "--variant", "xs", "--json-file", str(path)) == (0, "", "")
    assert run(capsys, "--variant", "xs", "--json") == (0, path.read_text(encoding="utf-8"), "")


@pytest.mark.parametrize("width", [80, 110])
def test_every_table_fits_a_terminal_and_nothing_is_cut_off(capsys, monkeypatch, width):
    monkeypatch.setattr(screen, "_WIDTH_OFF_A_TERMINAL", width)
    code, out, _ = run(capsys)
    assert code == 0
    lines = out.splitlines()
    assert max(len(line) for line in lines) <= width and "…" not in out
    for name, parameters in PARAMETERS.items():
        assert f"{parameters:,}" in next(line for line in lines if line.split()[:1] == [name])
    assert any("edgenext_base_IN21K.pth" in line for line in lines)
    for title in ("EdgeNeXt", "Baselines", "Detection and segmentation", "Ablations of EdgeNeXt-S"):
        assert title in lines
    detector = next(line.split() for line in lines if line.split()[:1] == ["s_ssdlite"])
    assert detector[1:6] == ["6,277,794", "6.2", "320", "2136.9", "2100"] and "27.9" in detector
    row = next(line.split() for line in lines if line.split()[:1] == ["s_sdta_0093"])
    assert row[1] == "7,016,232" and row[4:6] == ["79.7", "393"]


def test_json_of_a_segmenter_counts_at_its_own_size(capsys):
    code, out, _ = run(capsys, "--json", "--variant", "xxs_deeplabv3")
    assert code == 0
    [row] = json.loads(out)
    assert (row["task"], row["group"], row["image_size"]) == ("segmentation", "task", 512)
    assert row["madds"] == pytest.approx(2359.1e6, rel=1e-4) and row["madds_256"] is None and row["top1"] is None


def test_unknown_variant(capsys):
    code, out, err = run(capsys, "--variant", "xsx")
    assert (code, out) == (2, "")
    assert "did you mean 'xs'" in err


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_listing_comes_at_once_and_without_torch(arguments):
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "sys.argv[0] = 'edgenext-models'\n"
        "from edgenext_deploy.models.cli import main\n"
        "main()\n")
    seconds = []
    for _ in range(3):
        before = os.times()
        out = subprocess.check_output([sys.executable, "-c", program, *arguments], text=True)
        after = os.times()
        # Of the processor: other work on the machine does not count.
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert "edgenext_base_IN21K.pth" in out and "s_sdta_first" in out
    assert min(seconds) < 1.0


def test_an_old_python_is_told_what_it_takes(capsys, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 6, 15))
    code, out, err = run(capsys)
    assert (code, out) == (6, "")
    assert "listing the variants needs Python 3.10 or newer; found Python 3.6" in err


def test_module_runs_and_its_help_loads_nothing_heavy():
    program = (
        "import runpy, sys\n"
        "sys.argv = ['edgenext-models', '--help']\n"
        "try:\n"
        "    runpy.run_module('edgenext_deploy.models.cli', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "print([name for name in ('torch', 'numpy', 'rich.table') if name in sys.modules])\n")
    out = subprocess.check_output(
        [sys.executable, "-c", program], text=True, env={**os.environ, "COLUMNS": "100"})
    assert "--variant NAME" in out
    assert out.splitlines()[-1] == "[]"
