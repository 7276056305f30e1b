"""docs/extending.md shows the toys of the tests, and a program that imports all of them has them side by side.

What each of them does is tested beside it: ``test_toy_*.py``, ``test_columns.py`` and ``test_sensor_kinds.py``.
"""
import csv
import re
import subprocess
import sys

import pytest
from import_graph import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^`(tests/\S+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.S | re.M)
KINDS = ("family", "board", "runtime", "source", "column", "sensor")

# A program of somebody else's: it imports the toys and runs commands.
PROGRAM = """
import sys
sys.path[:0] = {folders!r}
import toy_family, toy_board, toy_runtime, toy_source, toy_column, toy_sensor
from edgenext_deploy.commands.entry import run_command

def run(command, *words):
    try:
        run_command(command, list(words))
    except SystemExit as stopped:
        print("ENDED", stopped.code)

toy_column.add()
toy_sensor.add()
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.models.cli import models_command
from edgenext_deploy.run.cli import command as run_photos

run(models_command, "--variant", "toy_16")
run(export_command, "--help")
run(export_command, "--variant", "toy_16", "--target", "toy", "--fp16", "--output", {output!r})
run(bench_command, {output!r} + "/toy_16.onnx", "--iterations", "20", "--warmup", "0", "--csv")
run(run_photos, "--engine", {output!r} + "/toy_16.onnx", "toy://3", "--json")
run(run_photos, "--help")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_the_file_of_the_tests(kind):
    (path,) = [path for path, _ in SHOWN if path.endswith("toy_{}.py".format(kind))]
    assert dict(SHOWN)[path] == (ROOT / path).read_text(encoding="utf-8")


def test_the_page_shows_nothing_else():
    assert len(SHOWN) == len(KINDS)


def test_a_program_with_all_of_them(tmp_path):
    folders = [str((ROOT / path).parent) for path, _ in SHOWN]
    program = PROGRAM.format(folders=folders, output=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=str(ROOT), check=False)
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert done.returncode == 0, err
    listed, helped, exported, measured, streamed, photos = out.split("ENDED ")[:6]
    assert "toy_16" in listed and "one convolution" in listed
    assert " toy" in helped.partition("--target NAME")[2].partition(" --")[0]
    assert "toy_16 for toy (Toy board, TensorRT 10.3)" in exported and "typed" in exported
    (row,) = csv.DictReader(measured.splitlines()[1:])
    assert float(row["p99_over_p50"]) >= 1.0
    assert streamed.count('"frame"') >= 1
    assert "toy://10" in photos and "|toy]" in photos.partition("--runtime")[2].partition(" --")[0]
    assert [code[0] for code in out.split("ENDED ")[1:]] == ["0"] * 6, err
