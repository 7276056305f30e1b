"""Names of an export's files, and what an export may write over."""
import json
import os

import onnx
import pytest
import torch
from command_lines import run_here
from exports import quick_export

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.output_place import place_of
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import get_variant

NARROW = EdgeNeXtConfig(dims=(16, 24, 32, 48), depths=(1, 2, 2, 2), heads=(2, 2, 2, 2))


def narrow(seed=1, classes=5):
    return randomise(EdgeNeXt(NARROW, classes), seed)


def export(output, module=None, **options):
    return quick_export(ExportRequest(
        module or narrow(), output, **{"image_size": 64, "target": "orin", **options}))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("output, name, expected", [
    (".", None, (".", "xxs")), ("out", "mine", ("out", "mine")), ("mine.onnx", None, (".", "mine")),
    ("a/b/mine.v2.onnx", None, ("a/b", "mine.v2")), ("/mine.onnx", None, ("/", "mine")),
    ("v1.2", "mine.v2", ("v1.2", "mine.v2")), ("out", "mïne net", ("out", "mïne net"))])
def test_folder_and_stem(output, name, expected):
    assert place_of(output, name, "xxs") == expected


@pytest.mark.parametrize("output, name, words", [
    ("a.onnx", "b", "names the file, and --name b does too"), ("out", "a/b", "has a folder in it"),
    ("out", "a\\b", "has a folder in it"), ("out", "a.onnx", "has an ending"), ("out", "", "is empty"),
    ("out", ".hidden", "hidden"), ("out/.onnx", None, "is empty"), ("out", "-x", "an option"),
    ("out", "a\nb", "unprintable"), ("out", "x" * 201, "200 bytes"), ("a.plan", None, "no folder"),
    ("a.ONNX", None, "ends in .onnx"), ("a.json", None, "no folder"), ("out", "..", "hidden")])
def test_names_that_are_none(output, name, words):
    with pytest.raises(UsageError, match=words):
        place_of(output, name, "xxs")


def test_a_folder_that_is_named_as_a_plan_is_a_folder(tmp_path):
    (tmp_path / "old.plan").mkdir()
    assert place_of(str(tmp_path / "old.plan"), None, "xxs") == (str(tmp_path / "old.plan"), "xxs")


def test_an_output_that_ends_in_onnx_is_the_file(tmp_path):
    result = export(tmp_path / "new" / "model.onnx", fp16=True, drift=True)
    assert sorted(files(tmp_path / "new")) == ["model.drift.json", "model.drift.svg", "model.json", "model.onnx"]
    assert result.onnx_path == str(tmp_path / "new" / "model.onnx")
    manifest = open_engine_file(result.onnx_path).manifest()
    assert (manifest.graph.file, manifest.variant) == ("model.onnx", "edgenext")


def test_a_name_changes_the_files_and_not_the_graph(tmp_path):
    plain, named = export(tmp_path), export(tmp_path, name="mine.v2")
    assert sorted(files(tmp_path)) == ["edgenext.json", "edgenext.onnx", "mine.v2.json", "mine.v2.onnx"]
    assert named.manifest.graph == plain.manifest.graph._replace(file="mine.v2.onnx")
    assert manifests.read(named.manifest_path) == named.manifest == plain.manifest._replace(graph=named.manifest.graph)
    assert onnx.load(named.onnx_path).graph.name == "edgenext"


def test_a_folder_with_the_files_name_is_refused(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(UsageError, match=r"model\.onnx"):
        export(tmp_path / "model.onnx")


def test_an_equal_export_is_replaced_quietly(tmp_path):
    export(tmp_path)
    before = files(tmp_path)
    export(tmp_path)
    assert files(tmp_path) == before
    result = export(tmp_path, layout="tokens")
    assert manifests.read(result.manifest_path).lowering["formulation"] == "tokens"


OTHERS = {
    "weights": (lambda: narrow(seed=2), {}, "it has other weights, edgenext with a live module"),
    "classes": (lambda: narrow(classes=6), {}, "it has other weights"),
    "size": (narrow, {"image_size": (64, 96)}, r"its input is \[1, 3, 64, 64\], and now it would be \[1, 3, 64, 96\]"),
    "batch": (narrow, {"batch": 2}, r".*now it would be \[2, 3, 64, 64\]"),
    "target": (narrow, {"target": "thor"}, "it is for target orin"),
    "fp16": (narrow, {"fp16": True}, "its precision is FP32"),
    "crop": (narrow, {"crop_pct": 0.9}, r"its preprocessing is .*crop 0\.875, and now it would be .*crop 0\.9"),
    "channels": (narrow, {"channel_order": "bgr"}, r"its preprocessing is .*, and now it would be .*bgr"),
    "activation": (narrow, {"activation": "sigmoid"}, r"its probabilities are the softmax, and now .* the sigmoid"),
    "outputs": (narrow, {"outputs": "probabilities"}, "it gives logits, and now it would give probabilities"),
    "features": (narrow, {"outputs": "features"}, "it gives logits, and now it would give features"),
    "bytes": (narrow, {"input": "uint8"}, "its input is float32, and now it would be uint8"),
    "packed bytes": (narrow, {"input": "uint8-nhwc"}, r".*now it would be \[1, 64, 64, 3\]"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_export_needs_force(other, tmp_path):
    make, options, words = OTHERS[other]
    export(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match="edgenext.onnx exists already: " + words) as caught:
        export(tmp_path, make(), **options)
    assert "--force" in caught.value.fix and files(tmp_path) == before
    export(tmp_path, make(), force=True, **options)
    assert files(tmp_path) != before and set(files(tmp_path)) == set(before)


@pytest.mark.parametrize("options", [{"precision_mode": "typed"}, {"precision_mode": "typed", "io": "fp16"}, {}])
def test_another_kind_of_fp16_needs_force(options, tmp_path):
    others = [other for other in ({"precision_mode": "typed"}, {"precision_mode": "typed", "io": "fp16"}, {})
              if other != options]
    export(tmp_path, fp16=True, target="orin", **options)
    for other in others:
        with pytest.raises(UsageError, match=r"its precision is FP16 \("):
            export(tmp_path, fp16=True, **other)


def test_files_that_nothing_describes_need_force(tmp_path):
    (tmp_path / "edgenext.onnx").write_bytes(b"somebody's work")
    with pytest.raises(UsageError, match="no manifest next to it says what it is"):
        export(tmp_path)
    (tmp_path / "edgenext.json").write_text("{}")
    with pytest.raises(UsageError, match="no manifest next to it says what it is"):
        export(tmp_path)
    (tmp_path / "edgenext.onnx").unlink()
    with pytest.raises(UsageError, match=r"edgenext\.json exists already: it is not a manifest"):
        export(tmp_path)
    assert files(tmp_path) == {"edgenext.json": b"{}"}
    export(tmp_path, force=True)


def test_a_graph_that_is_not_the_manifests_needs_force(tmp_path):
    path = export(tmp_path).onnx_path
    with open(path, "ab") as stream:
        stream.write(b" ")
    with pytest.raises(UsageError, match=r"it is not the graph that .*edgenext\.json describes"):
        export(tmp_path)
    os.remove(path)
    export(tmp_path)  # the manifest alone says that it is the same export
    with pytest.raises(UsageError, match="other weights"):
        os.remove(path)
        export(tmp_path, narrow(seed=2))


def test_the_graph_with_the_nms_plugin_is_guarded_too(tmp_path):
    module = randomise(reference_module(get_variant("xxs_ssdlite"), 4), 0)
    (tmp_path / "det.nms.onnx").write_bytes(b"somebody's work")
    with pytest.raises(UsageError, match=r"det\.nms\.onnx exists already"):
        export(tmp_path, module, name="det", target="nano", nms="plugin")
    assert set(files(tmp_path)) == {"det.nms.onnx"}
    export(tmp_path, module, name="det", target="nano", nms="plugin", force=True)
    assert json.loads(files(tmp_path)["det.nms.json"])["graph"]["file"] == "det.nms.onnx"
    export(tmp_path, module, name="det", target="nano", nms="plugin")


def test_the_command_names_the_file_and_refuses_in_one_line(export_here, tmp_path):
    path, other = tmp_path / "a.pth", tmp_path / "b.pth"
    for file, seed in ((path, 1), (other, 2)):
        torch.save(randomise(reference_module(get_variant("xxs"), 3), seed).state_dict(), file)
    common = ("--variant", "xxs", "--image-size", 64, "-o", tmp_path / "model.onnx")
    done = export_here(*common, "--weights", path)
    assert done.returncode == 0 and "edgenext-run {}".format(tmp_path / "model.onnx") in done.stdout
    done = export_here(*common, "--weights", other)
    assert done.returncode == 2 and "a.pth" in done.stderr and "--force" in done.stderr
    done = export_here(*common, "--weights", other, "--force")
    assert done.returncode == 0
    done = export_here("--variant", "xxs", "--output", tmp_path, "--name", "mine", "--json-file",
                       tmp_path / "mine.json")
    assert done.returncode == 2 and "would write over a file of this export" in done.stderr


@pytest.mark.parametrize("words, file", [
    ([], "net_nano.json"), (["--target", "orin"], "net_orin.json"), (["--name", "mine"], "mine.json"),
    (["--output", "there/mine.onnx"], "there/mine.drift.json")])
def test_the_report_of_an_adoption_is_not_written_over_its_files(words, file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_here(capsys, export_command, "adopt", "from/net.onnx", "--json-file", file, *words)
    assert code == 2 and "would write over a file of this export" in err
