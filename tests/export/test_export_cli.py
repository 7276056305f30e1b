"""The command: what it writes, what it prints, and how it fails."""
import dataclasses
import io
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import paths
import pytest
import torch
from command_lines import run_here
from exports import build_nothing, export, quick_export, simplify_here
from rich.console import Console

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.golden import digest, golden_batch
from edgenext_deploy.errors import BadInputError, IncompatibleError, VerificationError
from edgenext_deploy.export import api
from edgenext_deploy.export.checks.rtx import RtxReport
from edgenext_deploy.export.commands import cli
from edgenext_deploy.export.commands.report import print_report
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.pipeline import Export
from edgenext_deploy.export.request import ExportRequest, no_progress
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.targets import get_target

ROOT = Path(paths.ROOT)
PHOTO = ROOT / "edgenext_deploy" / "data" / "photos" / "cat.jpg"


def command(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "edgenext_deploy.export.commands.cli", *map(str, arguments)],
                          capture_output=True, text=True, cwd=str(ROOT), **options)


def small(tmp_path, **options):
    return ExportRequest(**{"model_or_variant": "xxs", "image_size": 64, "output": str(tmp_path), **options})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    # As on a machine that leaves torch its threads, which the tests do not.
    return folder, command("--variant", "xxs", "--fp16", "--output", folder, env={**os.environ, "OMP_NUM_THREADS": "2"})


def test_the_advertised_command(exported):
    folder, result = exported
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["xxs.json", "xxs.onnx"]
    for words in ("random weights (seed 0)", "opset 13", "8.2", "parity", "xxs.onnx", "edgenext-run "):
        assert words in " ".join(result.stdout.split())


def test_the_readme_shows_what_is_printed(exported):
    """Word for word, but for what differs from machine to machine: builder, times, rounding, digest."""
    folder, result = exported
    page = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    shown = re.search(r"^xxs for nano.*?(?=^```)", page, flags=re.S | re.M).group()

    def same_everywhere(text):
        text = " ".join(text.replace(str(folder) + os.sep, "").split())
        text = re.sub(r"builder .*? precision", "precision", text)
        return re.sub(r"(largest difference|sha256) \S+|\S+ of the largest logit", r"\1", text)

    assert same_everywhere(result.stdout) == same_everywhere(shown)


def test_the_casts_of_a_typed_graph_are_not_taken_for_the_simplifiers_work(tmp_path):
    result = quick_export(small(tmp_path, target="a100", fp16=True))
    out = io.StringIO()
    print_report(result, Console(file=out, width=200))
    assert "{} nodes, {} after the simplifier and with the Casts".format(
        sum(result.emitted_operators.values()), result.manifest.lowering["nodes"]) in out.getvalue()
    weights = result.manifest.weights._replace(source="a[/b].pth (net[0], official layout)", random=False)
    print_report(dataclasses.replace(result, manifest=result.manifest._replace(weights=weights)),
                 Console(file=out, width=200))
    assert "a[/b].pth (net[0], official layout)" in out.getvalue()


def test_names_and_reasons_with_brackets_are_printed_as_they_are(tmp_path):
    """rich takes a word in brackets for a style and leaves it out: of pip install ".[rtx]" a dot would be left."""
    result = quick_export(small(tmp_path / "a[b]"))
    result = dataclasses.replace(result, rtx=RtxReport(False, False, reason='pip install ".[rtx]"'))
    out = io.StringIO()
    print_report(result, Console(file=out, width=300))
    assert 'pip install ".[rtx]"' in out.getvalue()
    for path in (result.onnx_path, result.manifest_path):
        assert path in out.getvalue()
    assert "edgenext-bench " + shlex.quote(result.onnx_path) in out.getvalue()


def test_the_same_command_writes_the_same_bytes(exported, export_here, tmp_path):
    """In another process, and without TensorRT-RTX, which changes nothing."""
    folder, _ = exported
    assert export_here("--variant", "xxs", "--fp16", "--output", tmp_path).returncode == 0
    for name in ("xxs.onnx", "xxs.json"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_another_seed_gives_another_file(tmp_path):
    first, second = (export("xxs", tmp_path / str(seed), fp16=True, image_size=64, seed=seed) for seed in (0, 1))
    assert Path(first.onnx_path).read_bytes() != Path(second.onnx_path).read_bytes()


def test_the_manifest_holds_a_golden_pair_that_the_file_reproduces(exported):
    import base64

    import onnxruntime

    folder, _ = exported
    path = str(folder / "xxs.onnx")
    manifest = open_engine_file(path).manifest()
    image = normalise(golden_batch(manifest.golden.seed, manifest.inputs[0].shape), manifest.preprocessing)
    assert digest(image) == manifest.golden.input_sha256
    expected = np.frombuffer(base64.b64decode(manifest.golden.output_base64), "<f4").reshape(
        manifest.golden.output_shape)
    found = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


def test_the_file_classifies_a_photo(exported):
    folder, _ = exported
    with Classifier(str(folder / "xxs.onnx")) as classifier:
        predictions = classifier(str(PHOTO))
    assert len(predictions) == 5
    assert all(0 < item.probability <= 1 for item in predictions)


def test_json_is_data_and_nothing_else(export_here, tmp_path):
    result = export_here("--variant", "xxs_bn_hs", "--image-size", "64x96", "--batch", 2, "--num-classes", 10,
                     "--json", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["variant"] == "xxs_bn_hs" and data["weights"]["random"] and data["verdicts"]["8.2"]
    model = onnx.load(data["onnx"])
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [2, 3, 64, 96]
    assert [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [2, 10]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("image", "logits")


def test_folded_normalisation_takes_pixels(tmp_path):
    import onnxruntime

    plain = export("xxs", tmp_path / "plain", image_size=64)
    folded = export("xxs", tmp_path / "folded", image_size=64, fold_normalization=True)
    pixels = golden_batch(3, (1, 3, 64, 64))
    results = []
    for result in (plain, folded):
        session = onnxruntime.InferenceSession(result.onnx_path, providers=["CPUExecutionProvider"])
        results.append(session.run(None, {"image": normalise(pixels, result.manifest.preprocessing)})[0])
    assert folded.manifest.preprocessing.folded
    assert np.abs(results[0] - results[1]).max() / np.abs(results[0]).max() < 1e-5


def test_padding_attribute_leaves_no_pad_node(tmp_path):
    with_node = export("xxs", tmp_path / "node", image_size=64)
    without = export("xxs", tmp_path / "attribute", image_size=64, padding="attribute")
    assert with_node.operators["Pad"] == 1
    assert "Pad" not in without.operators


@pytest.mark.parametrize("arguments, code, words", [
    ((), 2, "edgenext-export xxs --fp16"),
    (("my net.onnx",), 2, "edgenext-export adopt 'my net.onnx'"),
    (("--variant", "best.ckpt"), 2, "--weights best.ckpt"),
    (("xxs", "--opset", "13"), 2, "the target decides the opset"),
    (("xxs", "--fp32"), 2, "without --fp16"),
    (("--variant", "xss"), 2, "did you mean 'xs'"),
    (("--variant", "xxs", "--target", "nanno"), 2, "did you mean 'nano'"),
    (("--variant", "xxs", "--image-size", "250"), 2, "multiple of 32"),
    (("--variant", "xxs", "--image-size", "0"), 2, "multiple of 32"),
    (("--variant", "xxs", "--image-size", "16"), 2, "--image-size 32"),
    (("--variant", "xxs", "--image-size", "abc"), 2, "HxW"),
    (("--variant", "xxs", "--batch", "0"), 2, "batch"),
    (("--variant", "xxs", "--weights", "/nowhere/x.pth"), 3, "not found"),
    (("--variant", "xxs", "--weights", "a.pth", "--pretrained"), 2, "exclude each other"),
    (("--variant", "xxs", "--fp16", "--samples", "photos"), 2, "photos of --drift"),
    (("--variant", "xxs", "--labels", "/nowhere/labels.txt"), 3, "not found"),
    (("--variant", "xxs", "--output", "/proc/nowhere"), 2, "cannot write"),
    (("--variant", "xxs", "--output", str(PHOTO)), 2, "not a folder"),
    (("--variant", "xxs", "--fp16", "--target", "onnxruntime"), 4, "cannot get FP16: it runs the ONNX file in FP32"),
    (("--variant", "xxs", "--drift"), 2, "--fp16 is missing"),
    (("--variant", "xxs", "--io", "fp16"), 2, "add --fp16"),
    (("--variant", "xxs", "--fp16", "--precision-mode", "typed"), 4, "8.2 builds no strongly typed"),
    (("--variant", "xxs", "--fp16", "--drift", "--samples", "/nowhere"), 3, "nowhere"),
])
def test_bad_input_is_one_clear_line(export_here, arguments, code, words):
    result = export_here(*arguments)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_process_itself_ends_with_the_code_and_one_line():
    result = command("--variant", "xss")
    assert result.returncode == 2 and "did you mean 'xs'" in result.stderr and "Traceback" not in result.stderr


def test_drift_writes_its_files_beside(export_here, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(PHOTO, photos)
    (photos / "broken.jpg").write_bytes(b"not a photo")
    result = export_here("--variant", "xxs_bn_hs", "--fp16", "--image-size", 64, "--num-classes", 10, "--drift",
                     "--auto-pin", "--samples", photos, "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "xxs_bn_hs.drift.json", "xxs_bn_hs.drift.svg", "xxs_bn_hs.json", "xxs_bn_hs.onnx"]
    shown = " ".join(result.stdout.split())
    assert "broken.jpg" in shown and "auto-pin" in shown and "Worst" in shown
    nodes = json.loads((tmp_path / "out" / "xxs_bn_hs.drift.json").read_text())["nodes"]
    model = onnx.load(str(tmp_path / "out" / "xxs_bn_hs.onnx"))
    assert [node["name"] for node in nodes] == [node.name for node in model.graph.node]


def weights_file(tmp_path, variant, classes=1000):
    path = tmp_path / f"{variant}_{classes}.pth"
    torch.save(create_model(variant, num_classes=classes).state_dict(), path)
    return path


@pytest.mark.parametrize("words", [
    ("xxs",), ("XXS", "--target", "onnxruntime"), ("--target", "onnxruntime", "edgenext_xx_small"),
    ("--name", "xxs", "--target", "orin", "xxs", "--fp16")])
def test_the_variant_may_stand_alone(monkeypatch, capsys, words):
    given = []
    monkeypatch.setattr(api, "export_onnx", lambda variant, **options: given.append((variant, options)) or 1 / 0)
    run_here(capsys, cli.export_command, *words)
    ((variant, options),) = given
    assert get_variant(variant).name == "xxs"
    assert options["target"] == (words[words.index("--target") + 1] if "--target" in words else "nano")
    assert options["fp16"] == ("--fp16" in words) and options["name"] == ("xxs" if "--name" in words else None)


def test_two_variants_are_not_one(capsys):
    code, _, err = run_here(capsys, cli.export_command, "xxs", "s")
    assert code == 2 and "one variant at a time expected, found xxs s" in err


def test_weights_of_another_variant_or_class_count(export_here, tmp_path):
    result = export_here("--variant", "xxs", "--weights", weights_file(tmp_path, "xs"), "--output", tmp_path / "out")
    assert result.returncode == 3 and "--variant xs" in result.stderr
    result = export_here("--variant", "xxs", "--weights", weights_file(tmp_path, "xxs", 10), "--num-classes", 9,
                     "--output", tmp_path / "out")
    assert result.returncode == 3 and "--num-classes 10" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_named_and_not_called_random(tmp_path):
    result = quick_export(small(tmp_path, weights=str(weights_file(tmp_path, "xxs", 10))))
    assert result.manifest.outputs[0].shape == (1, 10)
    assert not result.manifest.weights.random
    assert "xxs_10.pth" in result.manifest.weights.source
    assert result.manifest.labels == ()


def test_a_damaged_file_in_the_cache_is_named_and_not_recommended_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path))
    cached = tmp_path / "edgenext_xx_small.pth"
    cached.write_bytes(b"<html>the proxy wants a password</html>")
    with pytest.raises(BadInputError, match="is a web page") as caught:
        quick_export(small(tmp_path / "out", pretrained=True))
    assert caught.value.fix == f"remove {cached} and run the same command again"


def test_a_full_disk_loses_nothing(tmp_path):
    (tmp_path / "xxs.onnx").write_bytes(b"old graph")
    (tmp_path / "xxs.json").write_bytes(b"old manifest")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    # A file size limit makes the write fail in its middle, as a full disk does. Temporary files elsewhere
    # would hit it too, so the children that need them are left to fail and be warned about.
    code = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from edgenext_deploy.files import write_files_atomically\n"
        "from edgenext_deploy.commands.entry import run_command\n"
        "import click\n"
        "@click.command()\n"
        "def write():\n"
        "    write_files_atomically({sys.argv[1]: b'x' * (4 << 20), sys.argv[2]: b'new manifest'})\n"
        "run_command(write, [])\n")
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "xxs.onnx"), str(tmp_path / "xxs.json")], preexec_fn=limit,
        capture_output=True, text=True, cwd=str(ROOT))
    assert result.returncode == 2, result.stderr
    assert "cannot write" in result.stderr
    assert (tmp_path / "xxs.onnx").read_bytes() == b"old graph"
    assert (tmp_path / "xxs.json").read_bytes() == b"old manifest"
    assert sorted(os.listdir(tmp_path)) == ["xxs.json", "xxs.onnx"]


def test_a_wrong_weight_in_the_lowered_module_is_exit_5(tmp_path):
    def broken(model, context):
        lowered = lower(model, context)
        lowered.stages[2][3].mlp.pwconv1.weight[0] *= 1.5
        return lowered

    with pytest.raises(VerificationError, match="differs from the reference module") as caught:
        quick_export(small(tmp_path), lower_module=broken)
    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_a_graph_the_target_cannot_run_is_exit_4(tmp_path):
    modern = get_target("a100")
    strange = get_target("nano")._replace(opset=modern.opset, ir_version=modern.ir_version)
    resolved = dataclasses.replace(small(tmp_path).resolve(), target=strange)
    with pytest.raises(IncompatibleError) as caught:
        Export(resolved, no_progress, simplify=simplify_here, build=build_nothing).run()
    assert caught.value.exit_code == 4
    assert "ReduceMean" in str(caught.value) and "norm/mean" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content, words", [
    ('["cat", "dog"', "begins like JSON"), ("cat\ndog\n", "2 labels found, 3 expected")])
def test_labels_are_checked_before_the_weights_are_loaded(export_here, tmp_path, content, words):
    (tmp_path / "labels.txt").write_text(content)
    result = export_here("--variant", "xxs", "--weights", "/nowhere/x.pth", "--num-classes", "3",
                         "--labels", str(tmp_path / "labels.txt"))
    assert result.returncode == 3 and words in result.stderr and "nowhere" not in result.stderr
