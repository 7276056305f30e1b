"""What a checkpoint says about its training decides how photos are prepared, or the difference is said."""
import argparse
import json

import pytest
import torch
from exports import quick_export

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.training_choice import choose
from edgenext_deploy.export.weights import load_reference
from edgenext_deploy.models import create_model
from edgenext_deploy.models.checkpoints.training_record import record_of
from edgenext_deploy.models.variants.registry import get_variant

HALVES, IMAGENET = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return create_model("xxs", num_classes=3).state_dict()


def exported(folder, content, **options):
    path = folder / "mine.pth"
    torch.save(content, path)
    return quick_export(ExportRequest("xxs", folder / "out", weights=path, **{"image_size": 64, **options}))


def test_the_authors_arguments_say_size_mean_and_crop(tmp_path, state):
    args = argparse.Namespace(
        model="edgenext_xx_small", input_size=96, imagenet_default_mean_and_std=False, crop_pct=1.0, nb_classes=3)
    result = exported(tmp_path, {"model": state, "args": args}, image_size=None)
    found = manifests.read(result.manifest_path)
    prepared = found.preprocessing
    assert (prepared.height, prepared.width, prepared.mean, prepared.std) == (96, 96, HALVES, HALVES)
    assert (prepared.crop_pct, prepared.fit) == (1.0, "crop") and found.inputs[0].shape == (1, 3, 96, 96)
    assert "its args: image size 96x96, mean 0.5,0.5,0.5" in found.weights.source
    assert any("from args of the weights file: image size 96x96" in note for note in result.notes)
    assert not any("args" in warning for warning in result.warnings)


def test_the_authors_defaults_are_said_by_the_script_and_not_by_the_variant(tmp_path, state):
    args = argparse.Namespace(input_size=64, imagenet_default_mean_and_std=True, crop_pct=None)
    prepared = exported(tmp_path, {"model": state, "args": args}).manifest.preprocessing
    assert (prepared.mean, prepared.crop_pct) == (IMAGENET, 0.875)


def test_the_authors_script_warps_from_384_pixels_whatever_crop_it_was_given(tmp_path, state):
    args = argparse.Namespace(input_size=384, imagenet_default_mean_and_std=True, crop_pct=0.9)
    record = record_of({"args": args}, "mine.pth")
    assert (record.fit, record.crop_pct, record.image_size) == ("stretch", None, (384, 384))


@pytest.mark.parametrize("place", ["args", "pretrained_cfg", "hyper_parameters", None])
def test_timms_words_are_read_wherever_they_lie(tmp_path, state, place):
    said = {"input_size": (3, 64, 96), "mean": list(HALVES), "std": list(HALVES), "crop_pct": 1.0,
            "interpolation": "bilinear", "label_names": ["cat", "dog", "cow"]}
    content = {"state_dict": state, **(said if place is None else {place: said})}
    result = exported(tmp_path, content, image_size=None)
    prepared = result.manifest.preprocessing
    assert (prepared.height, prepared.width, prepared.interpolation) == (64, 96, "bilinear")
    assert (prepared.mean, prepared.crop_pct, result.manifest.labels) == (HALVES, 1.0, ("cat", "dog", "cow"))


def test_config_json_beside_safetensors_is_read_and_another_programs_is_not(tmp_path, state):
    from safetensors.torch import save_file

    path, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    save_file({key: value.contiguous() for key, value in state.items()}, str(path))

    def prepared():
        return quick_export(ExportRequest("xxs", tmp_path / "out", weights=path, image_size=64, force=True))

    config.write_text(json.dumps({"architecture": "edgenext_xx_small", "num_classes": 3, "pretrained_cfg": {
        "mean": HALVES, "std": HALVES, "crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bicubic"}}))
    assert prepared().manifest.preprocessing[2:6] == (1.0, "bicubic", HALVES, HALVES)
    assert prepared().manifest.preprocessing.fit == "stretch"
    config.write_text(json.dumps({"model_type": "mobilevit", "mean": HALVES}))
    assert prepared().manifest.preprocessing.mean == IMAGENET
    config.write_text("{")
    assert any("config.json beside the file cannot be read" in warning for warning in prepared().warnings)


def test_an_option_is_followed_and_the_difference_said(tmp_path, state):
    result = exported(tmp_path, {"model": state, "args": {"mean": HALVES, "std": HALVES, "img_size": 96}},
                      mean="0.4,0.4,0.4", std="0.5,0.5,0.5")
    assert result.manifest.preprocessing.mean == (0.4, 0.4, 0.4)
    assert "--mean 0.4,0.4,0.4 is followed, and args of the weights file says 0.5,0.5,0.5" in result.warnings
    assert "--image-size 64x64 is followed, and args of the weights file says 96x96" in result.warnings
    assert not any("--std" in warning for warning in result.warnings)


@pytest.mark.parametrize("said, word", [
    ({"mean": [123.7, 116.3, 103.5]}, "mean [123.7, 116.3, 103.5], which is not used"),
    ({"std": [0.0, 1.0, 1.0]}, "not a possible std"), ({"mean": "rm -rf"}, "not a possible mean"),
    ({"mean": [float("nan")] * 3}, "not a possible mean"), ({"crop_pct": 40}, "not a possible crop pct"),
    ({"interpolation": "random"}, "interpolation 'random', which is not used"),
    ({"img_size": 100}, "says an input of 100x100"), ({"img_size": 10**9}, "says an input of"),
    ({"img_size": True}, "not a possible image size"), ({"input_size": [[[]]]}, "not a possible image size"),
    ({"num_classes": 1000}, "says 1000 classes, and its parameters have 3"),
    ({"label_names": ["a", "b"]}, "names 2 classes, and the network has 3"),
    ({"label_names": ["a", "b", "\x1b[31m"]}, "not a possible labels"),
    ({"crop_mode": "border", "crop_pct": 0.9}, "cannot be done together"),
    ({"pretrained_cfg": {"mean": HALVES}, "mean": IMAGENET}, "another mean: 0.5,0.5,0.5 is taken"),
], ids=lambda value: str(value)[:30])
def test_what_cannot_be_used_is_said(tmp_path, state, said, word):
    torch.save({"model": state, "args": said}, tmp_path / "mine.pth")
    resolved = ExportRequest("xxs", tmp_path, weights=tmp_path / "mine.pth").resolve()
    reference = load_reference(resolved.variant, resolved.source, None, lambda step: None)
    warnings = choose(resolved, reference).warnings
    assert any(word in warning for warning in warnings), warnings
    assert all(warning.isprintable() for warning in warnings)


def test_a_published_files_name_decides_the_crop_only_with_a_word(tmp_path, state):
    file = next(item for item in get_variant("s").checkpoints if item.crop_pct != get_variant("s").crop_pct).file
    content = create_model("s", num_classes=3).state_dict()
    torch.save({"state_dict": content}, tmp_path / file)
    result = quick_export(ExportRequest("s", tmp_path / "out", weights=tmp_path / file, image_size=64))
    (note,) = result.notes
    assert f"published file of the name {file}" in note and "--crop-pct 0.875" in note
    assert result.manifest.preprocessing.crop_pct == 0.95
    torch.save({"state_dict": content}, tmp_path / "mine.pth")
    other = quick_export(ExportRequest("s", tmp_path / "other", weights=tmp_path / "mine.pth", image_size=64))
    assert other.notes == ()


def test_a_published_network_is_evaluated_as_published_whatever_its_file_says_of_the_training(tmp_path, monkeypatch):
    file = get_variant("s").checkpoints[0].file
    args = argparse.Namespace(input_size=96, imagenet_default_mean_and_std=False, crop_pct=None)
    torch.save({"model": create_model("s").state_dict(), "args": args}, tmp_path / file)
    monkeypatch.setattr("edgenext_deploy.export.weights.fetch", lambda variant: str(tmp_path / file))
    manifest = quick_export(ExportRequest("s", tmp_path / "out", pretrained=True, image_size=64)).manifest
    fetched = manifest.preprocessing
    assert (fetched.mean, fetched.crop_pct) == (IMAGENET, get_variant("s").checkpoints[0].crop_pct)
    # Published accuracy is that of the published file alone, not of what has its name.
    assert manifest.weights.published
    own = quick_export(ExportRequest("s", tmp_path / "own", weights=tmp_path / file, image_size=64)).manifest
    assert not own.weights.published


def test_arguments_without_a_crop_leave_it_to_the_published_file_of_that_name(tmp_path):
    file = next(item for item in get_variant("s").checkpoints if item.crop_pct != get_variant("s").crop_pct).file
    args = argparse.Namespace(input_size=64, imagenet_default_mean_and_std=True, crop_pct=None)
    torch.save({"state_dict": create_model("s", num_classes=3).state_dict(), "args": args}, tmp_path / file)
    result = quick_export(ExportRequest("s", tmp_path / "out", weights=tmp_path / file))
    assert result.manifest.preprocessing.crop_pct == 0.95 and any(file in note for note in result.notes)
