"""A family from one new file is exported with every check, listed, loaded and named in errors like any other."""
import importlib
import json
import sys
from unittest import mock

import pytest
import torch
from command_lines import run_here

from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.live_module import class_count, variant_of
from edgenext_deploy.models.cli import models_command
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.variants.families import FAMILIES
from edgenext_deploy.models.variants.registry import VARIANTS, get_variant, list_variants


@pytest.fixture
def toy():
    """Import the file as a user would; afterwards nothing of it is known any more."""
    sys.modules.pop("toy_family", None)
    with mock.patch.dict(FAMILIES), mock.patch.dict(VARIANTS):
        yield importlib.import_module("toy_family")
    assert "toy" not in FAMILIES and "toy_16" not in VARIANTS


def test_it_is_exported_with_every_check(toy, capsys, tmp_path):
    code, out, err = run_here(capsys, export_command, "--variant", "toy_16", "--fp16", "--output", str(tmp_path))
    assert code == 0, err
    manifest = open_engine_file(str(tmp_path / "toy_16.onnx")).manifest()
    assert manifest.variant == "toy_16" and manifest.inputs[0].shape == (1, 3, 64, 64)
    assert manifest.verdicts["8.2"]["supported"] and manifest.precision.mode == "flag"
    assert manifest.parity.max_relative_error < 1e-5 and manifest.parity.top1_agreement == 1.0
    assert manifest.preprocessing.mean == (0.5, 0.5, 0.5) and manifest.preprocessing.std == (0.25, 0.25, 0.25)
    assert "parsed and built by TensorRT-RTX" in " ".join(out.split())


def test_a_lowering_that_computes_something_else_is_noticed(toy, capsys, tmp_path):
    with mock.patch.object(toy.LoweredToy, "forward", lambda self, image: self.head(self.flatten(self.pool(
            self.stem.conv(image))))):
        code, _, err = run_here(capsys, export_command, "--variant", "toy_16", "--output", str(tmp_path))
    assert code == 5 and "differs from the reference module" in err
    assert list(tmp_path.iterdir()) == []


def test_commands_and_errors_list_it(toy, capsys):
    code, out, _ = run_here(capsys, models_command)
    assert code == 0
    parameters = 16 * 3 * 8 * 8 + 16 + 1000 * 16 + 1000
    (line,) = [line for line in out.splitlines() if line.split()[:1] == ["toy_16"]]
    assert line.split()[1:] == [f"{parameters:,}", "64", "0.2", "toy", "classification", "one", "convolution"]
    code, out, _ = run_here(capsys, models_command, "--json", "--group", "own")
    assert [(row["name"], row["family"], row["madds_224"]) for row in json.loads(out)] == [
        ("toy_16", "toy", 28 * 28 * 16 * 3 * 64 + 16000)]
    code, _, err = run_here(capsys, export_command, "--variant", "toy_61")
    assert code == 2 and "did you mean 'toy_16'" in err and "xxs" in err and "edgenext-models lists all" in err
    assert list_variants("toy*") == ["toy_16"]


def test_its_checkpoints_are_read_by_its_own_layout(toy, tmp_path):
    path = str(tmp_path / "toy.pth")
    given = create_model("toy_16", num_classes=3, seed=4).state_dict()
    torch.save({key.replace("conv.", "features.").replace("head.", "classifier."): value
                for key, value in given.items()}, path)
    loaded = create_model("toy_16", checkpoint=path).state_dict()
    assert loaded.keys() == given.keys() and all(torch.equal(loaded[key], given[key]) for key in given)
    with pytest.raises(BadInputError, match="holds toy_16 with 3 classes, xxs with 1000 expected"):
        create_model("xxs", checkpoint=path, num_classes=1000)


def test_a_family_without_a_backbone_has_no_detector(toy):
    detector = toy.Variant("toy_ssdlite", toy.ToyConfig(), head=get_variant("xxs_ssdlite").head)
    with pytest.raises(UsageError, match="Toy has no backbone"):
        create_model(detector)


def test_a_live_module_is_recognised(toy):
    module = create_model("toy_16", num_classes=3)
    assert variant_of(module) is VARIANTS["toy_16"] and class_count(module) == 3
