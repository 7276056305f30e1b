"""ONNX files without a manifest: several inputs, open sizes, integers and bools, and what is refused in one line."""
import json

import numpy as np
import pytest
from bench_doubles import QUICK, TINY
from command_lines import run_here
from foreign_files import foreign, models

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.latency.any_graph import AnyGraphSession, fixed_shapes, values_for
from edgenext_deploy.benchmarks.latency.engines import open_engine
from edgenext_deploy.benchmarks.measuring.measurement import measure
from edgenext_deploy.errors import BadInputError, UsageError


def bench(capsys, *arguments):
    return run_here(capsys, bench_command, *arguments, *QUICK)


def inputs_of(path):
    [row] = latency_report.read(str(path)).records
    return {spec.name: (spec.dtype, spec.shape) for spec in row.inputs}, row


def test_several_inputs_of_several_types_are_measured_and_reported(capsys, tmp_path):
    out, table = tmp_path / "rows.json", tmp_path / "rows.csv"
    code, printed, err = bench(capsys, foreign("tokens_fixed"), "--json-file", out, "--csv", table, "--html",
                               tmp_path / "page.html", "--markdown", tmp_path / "rows.md")
    assert code == 0, err
    found, row = inputs_of(out)
    assert found == {"ids": ("int64", (1, 8)), "mask": ("bool", (1, 8)), "scale": ("float32", ())}
    assert row.model is None and row.image == "synthetic" and (row.input_shape, row.batch) == ((1, 8), 1)
    assert "no manifest" in printed
    words = "Inputs: ids int64 1x8, mask bool 1x8, scale float32 scalar; values made by the seed"
    assert words in " ".join(printed.split()) and words in (tmp_path / "rows.md").read_text()
    assert "ids int64 1x8; mask bool 1x8; scale float32 scalar" in table.read_text()


def test_open_sizes_are_given_and_a_name_has_one_size(capsys, tmp_path):
    out = tmp_path / "rows.json"
    code, _, err = bench(capsys, foreign("tokens"), "--shape", "ids=2x16", "--json-file", out)
    assert code == 0, err
    found, row = inputs_of(out)
    assert found["mask"] == ("bool", (2, 16)) and row.batch == 2
    code, _, err = bench(capsys, foreign("picture"), "--shape", "image=1x3x20x24", "--json-file", out)
    assert code == 0, err
    assert inputs_of(out)[0] == {"image": ("float32", (1, 3, 20, 24))}


def test_the_batch_alone_is_1_by_itself(capsys, tmp_path):
    out = tmp_path / "rows.json"
    assert bench(capsys, foreign("batch_open"), "--json-file", out)[0] == 0
    assert inputs_of(out)[0] == {"image": ("float32", (1, 3, 8, 8))}
    assert bench(capsys, foreign("batch_open"), "--shape", "image=4x3x8x8", "--json-file", out)[0] == 0
    assert inputs_of(out)[1].batch == 4


def test_the_sizes_are_fixed_in_onnx_runtime_too():
    file = open_engine_file(foreign("tokens"))
    with AnyGraphSession(file, shapes={"ids": (2, 16)}) as session:
        # ONNX Runtime 1.10 does not carry them on to the outputs it describes.
        assert [node.shape for node in session._session.get_inputs()] == [[2, 16], [2, 16], []]
        answer = session.infer(values_for(session.inputs[0]))
    assert answer.shape == (2, 16, 4)


@pytest.mark.parametrize("name, found", [("tokens", "input 'ids' has open sizes: [batch, length]"),
                                         ("picture", "input 'image' has open sizes: [?, 3, ?, ?]"),
                                         ("huge_open", "input 'x' has open sizes: [n]")])
def test_open_sizes_are_refused_with_the_options_name(capsys, name, found):
    code, out, err = bench(capsys, foreign(name))
    assert (code, out) == (2, "") and found in err and "--shape " in err


@pytest.mark.parametrize("name, found", [
    ("string", "input 'x' has the type tensor(string)"), ("sequence", "input 'x' has the type seq(tensor(float))"),
    ("sequence_out", "output 'y' has the type seq(tensor(float))"),
    ("optional", "input 'x' has the type optional(tensor(float))"),
    ("bfloat", "input 'x' has the type tensor(bfloat16)"), ("huge", "[4611686018427387904]"), ("empty", "[0, 3]"),
    ("no_input", "0 inputs and 1 outputs found")])
def test_what_cannot_be_fed_is_refused_in_one_line(capsys, name, found):
    code, out, err = bench(capsys, foreign(name))
    assert (code, out) == (3, "") and found in err and len(err.strip().splitlines()) == 2 and "bug" not in err


@pytest.mark.parametrize("shape, code, found", [
    ("x=4611686018427387904", 3, "1 to 67108864 elements expected"), ("x=0", 2, "the name of an input and its sizes"),
    ("x=3x4", 2, "--shape gives input 'x' [3, 4], the file has [n]"), ("y=3", 2, "input 'x' has open sizes"),
    ("x", 2, "such as --shape image=1x3x224x224"), ("x=axb", 2, "such as --shape image=1x3x224x224")])
def test_a_wrong_shape_is_refused(capsys, shape, code, found):
    assert bench(capsys, foreign("huge_open"), "--shape", shape)[0] == code
    assert found in bench(capsys, foreign("huge_open"), "--shape", shape)[2]


def test_a_shape_that_no_engine_takes_is_refused(capsys):
    for engine in (foreign("tokens_fixed"), TINY):
        code, _, err = bench(capsys, engine, "--shape", "nobody=1x3")
        assert code == 2 and "no engine without a manifest has such an input" in err
    code, _, err = bench(capsys, foreign("batch_open"), "--shape", "image=1x3x8x8", "--shape", "image=2x3x8x8")
    assert code == 2 and "image twice" in err


def test_sizes_that_contradict_each_other():
    inputs = [("a", ["n", 3]), ("b", ["n", "m"])]
    assert fixed_shapes("f", inputs, {"a": (2, 3), "b": (2, 5)}) == ([(2, 3), (2, 5)], {"n": 2, "m": 5})
    with pytest.raises(UsageError, match="input 'b' \\[4, 5\\], the file has \\[n, m\\]"):
        fixed_shapes("f", inputs, {"a": (2, 3), "b": (4, 5)})
    with pytest.raises(UsageError, match="--shape b=1xN"):
        fixed_shapes("f", inputs, {"a": (1, 3)})
    with pytest.raises(BadInputError, match="elements expected"):
        fixed_shapes("f", [("a", [1 << 25]), ("b", [1 << 25]), ("c", [1 << 25])], {})


def test_values_are_seeded_and_within_what_networks_take():
    ids = values_for(TensorSpec("ids", (4, 64), "int64"))
    mask = values_for(TensorSpec("mask", (4, 64), "bool"))
    assert ids.dtype == np.int64 and set(ids.ravel().tolist()) == {0, 1} and set(mask.ravel().tolist()) == {False, True}
    assert values_for(TensorSpec("k", (1,), "int64")).tolist() == [1]
    assert values_for(TensorSpec("use", (), "bool")) == np.bool_(True)
    assert len(set(values_for(TensorSpec("pixels", (3, 64), "uint8")).ravel().tolist())) > 50
    floats = values_for(TensorSpec("image", (3, 64), "float16"))
    assert floats.dtype == np.float16 and 0.0 <= floats.min() < 0.1 < 0.9 < floats.max() <= 1.0
    assert np.array_equal(floats, values_for(TensorSpec("other", (3, 64), "float16")))
    assert values_for(TensorSpec("scale", (), "float32")).shape == ()


def test_a_count_of_one_is_a_value_that_runs(capsys):
    assert bench(capsys, foreign("count"))[0] == 0


def test_the_reference_may_be_such_a_file_too(capsys, tmp_path):
    out = tmp_path / "rows.json"
    code, _, err = bench(capsys, foreign("tokens"), "--reference", foreign("tokens_fixed"), "--shape", "ids=1x8",
                         "--json-file", out)
    assert code == 0, err
    rows = json.loads(out.read_text())["records"]
    assert rows[1]["outputs"]["passed"] is True and rows[1]["outputs"]["max_relative_difference"] == 0.0


def test_profile_and_python_take_shapes(capsys):
    code, out, err = run_here(capsys, bench_command, "profile", foreign("tokens"), "--shape", "ids=1x8", "--runs", "2")
    assert code == 0 and "Gather" in out, err
    assert run_here(capsys, bench_command, "profile", foreign("tokens"), "--shape", "ids=1x8", "--shape", "x=1")[0] == 2
    report = measure(foreign("tokens"), duration_s=0.05, warmup_s=0.0, shapes={"ids": (1, 4)})
    assert report.records[0].inputs[1] == TensorSpec("mask", (1, 4), "bool")
    assert b"<html" in report.to_html()


def test_each_engine_takes_the_shapes_of_its_own_inputs(capsys, tmp_path):
    code, _, err = bench(capsys, foreign("tokens"), foreign("picture"), "--shape", "ids=1x8", "--shape",
                         "image=1x3x8x8", "--profile", "--json-file", tmp_path / "rows.json")
    assert code == 0, err
    assert "no profile" not in err


def test_an_engine_with_a_manifest_is_opened_as_before():
    with open_engine(TINY, "tiny") as engine:
        assert not isinstance(engine.session, AnyGraphSession) and engine.image_source == "golden"


def test_the_files_are_what_the_recipe_makes():
    onnx = pytest.importorskip("onnx")
    for name, model in models().items():
        assert onnx.load(foreign(name), load_external_data=False) == model, name
