"""``edgenext-export --race``: one bundle with several formulations, each byte for byte what an export alone writes."""
import dataclasses
import json
from pathlib import Path

import pytest
from command_lines import run_here
from exports import quick_export, replace_tools

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.manifest import Scores
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export import export_race, race_export
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.race_export import run_race_export
from edgenext_deploy.export.request import ExportRequest

NAMES = ("nchw", "nchw-scores", "nchw-matmul", "tokens", "tokens-attribute", "tokens-matmul", "nchw-attribute",
         "tokens-scores")
SMALL = {"image_size": 64, "fp16": True}


def request(folder, **options):
    return ExportRequest("xxs", folder, **{**SMALL, **options})


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """Return the result of an export of two formulations."""
    folder = tmp_path_factory.mktemp("race")
    return run_race_export(request(folder), ("nchw", "tokens-matmul"), quick_export)


def test_each_graph_is_the_one_that_is_exported_alone(bundled, tmp_path):
    bundle = open_bundle(bundled.path)
    assert list(bundle.manifests) == ["nchw", "tokens-matmul"] and bundled.left_out == {}
    for name in bundle.manifests:
        alone = quick_export(request(tmp_path / name, formulation=name))
        assert bundle.files(name) == (Path(alone.onnx_path).read_bytes(), Path(alone.manifest_path).read_bytes())
        path = bundle.write(name, str(tmp_path / "again" / "xxs.onnx"))
        assert open_engine_file(path).manifest().lowering["formulation"] == name


def test_the_weights_are_in_it_once(bundled):
    """A 1x1 convolution's and a MatMul's are each other's transpose."""
    largest = max(found.graph.bytes for found in bundled.manifests.values())
    assert bundled.bytes == Path(bundled.path).stat().st_size < 1.2 * largest


@pytest.mark.sweep
def test_eight_candidates_take_less_than_three_graphs(tmp_path):
    found = run_race_export(request(tmp_path), NAMES, quick_export)
    assert len(found.manifests) == len(NAMES)
    assert found.bytes < 3 * min(manifest.graph.bytes for manifest in found.manifests.values())


def test_what_cannot_be_exported_is_left_out(tmp_path):
    def export(given):
        if given.formulation == "tokens":
            raise IncompatibleError("no such operator")
        return quick_export(given)

    found = run_race_export(request(tmp_path), ("nchw", "tokens", "nchw"), export)
    assert list(found.manifests) == ["nchw"] and found.left_out == {"tokens": "no such operator"}
    assert open_bundle(found.path).record.left_out == found.left_out
    with pytest.raises(IncompatibleError, match="tokens: no such operator"):
        run_race_export(request(tmp_path), ("tokens",), export)


def test_what_fp16_would_spoil_is_left_out(tmp_path):
    """A tolerance that no graph in FP16 meets; without --fp16 nobody asks."""
    def strict(given):
        result = quick_export(given)
        golden = result.manifest.golden._replace(tolerance={"fp32": 1e-4, "fp16": 1e-7})
        return dataclasses.replace(result, manifest=result.manifest._replace(golden=golden))

    with pytest.raises(IncompatibleError, match="nchw: FP16 may cost it"):
        run_race_export(request(tmp_path), ("nchw",), strict)
    assert run_race_export(request(tmp_path, fp16=False), ("nchw",), strict).left_out == {}


def test_another_use_is_told_after_the_first_graph_and_not_after_the_last(bundled):
    exported = []

    def counting(given):
        exported.append(given.formulation)
        return quick_export(given)

    with pytest.raises(UsageError, match="another output"):
        run_race_export(request(Path(bundled.path).parent, outputs="probabilities"), ("nchw", "tokens"), counting)
    assert exported == ["nchw"]


def test_a_graph_that_is_there_already_is_left_out(tmp_path):
    one = quick_export(request(tmp_path / "one"))
    found = run_race_export(request(tmp_path), ("nchw", "tokens"), lambda given: one)
    assert found.left_out == {"tokens": "the same graph as nchw"}


def test_only_a_bundle_of_the_same_is_replaced(bundled, tmp_path):
    resolved = request(Path(bundled.path).parent).resolve()
    same = bundled.manifests["nchw"]
    race_export._require_replaceable(bundled.path, same, resolved)
    race_export._require_place(bundled.path, resolved)
    for other in ({"weights": same.weights._replace(sha256="0" * 64)}, {"target": "orin"}, {"inputs": same.outputs},
                  {"precision": same.precision._replace(requested="fp32")}, {"precision": same.precision._replace(
                      mode="typed")}, {"preprocessing": same.preprocessing._replace(fit="stretch")},
                  {"outputs": (same.outputs[0]._replace(name="probabilities"),)},
                  {"scores": Scores("sigmoid")}):
        with pytest.raises(UsageError, match="exists already"):
            race_export._require_replaceable(bundled.path, same._replace(**other), resolved)
    (tmp_path / "xxs.race").write_text("mine")
    with pytest.raises(UsageError, match="is no bundle"):
        run_race_export(request(tmp_path), ("nchw",), quick_export)
    race_export._require_place(str(tmp_path / "xxs.race"), request(tmp_path, force=True).resolve())


@pytest.mark.parametrize("option", [{"formulation": "nchw"}, {"layout": "tokens"}, {"drift": True}])
def test_options_that_name_one_graph_are_refused(tmp_path, option):
    with pytest.raises(UsageError, match="--race writes"):
        export_race("xxs", tmp_path, **SMALL, **option)


def test_the_command(tmp_path, capsys, monkeypatch):
    replace_tools(monkeypatch)
    monkeypatch.setattr("edgenext_deploy.export.race_export.candidates_for", lambda *given: ("nchw", "tokens"))
    code, out, err = run_here(capsys, export_command, "xxs", "--race", "--image-size", "64", "-o", tmp_path,
                              "--json-file", tmp_path / "result.json")
    assert code == 0, err
    assert "xxs for nano, FP32, 2 formulations" in out and "edgenext-build xxs.race" in out
    data = json.loads((tmp_path / "result.json").read_text())
    assert sorted(data["candidates"]) == ["nchw", "tokens"] and data["bundle"] == str(tmp_path / "xxs.race")
