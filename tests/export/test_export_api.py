"""`export_onnx` and `check_onnx`: what a program calls, with a variant's name or with a module of its own."""
import copy
import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import onnxruntime
import paths
import pytest
import torch
from torch import nn

from edgenext_deploy import export
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
from edgenext_deploy.export import ExportRequest, ExportResult, Verdicts, check_onnx, export_onnx
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.limits import CHOICES, FRACTIONS, WHOLE_NUMBERS
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt, EdgeNeXtBackbone
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import get_variant

pytestmark = pytest.mark.usefixtures("quick_tools")

QUICK = {"image_size": 64, "target": "onnxruntime"}


def module_of(name, classes=5):
    return randomise(reference_module(get_variant(name), classes), 3)


def answers(result, image):
    session = onnxruntime.InferenceSession(result.onnx_path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def image(side=64):
    return np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize("name, side", [("xxs", 64), ("mobilevit_xxs", 64), ("xxs_ssdlite", 96), ("xxs_deeplabv3", 96)])
def test_a_live_module_is_exported_with_its_own_weights_and_classes(tmp_path, name, side):
    module = module_of(name)
    result = export_onnx(module, tmp_path, **{**QUICK, "image_size": side})
    assert result.onnx_path == str(tmp_path / f"{name}.onnx") and result.manifest.variant == name
    manifest = open_engine_file(result.onnx_path).manifest()
    assert manifest.weights.source == "a live module" and not manifest.weights.random
    assert manifest.labels == () and manifest.labels_source == "none"
    with torch.no_grad():
        expected = {"classification": lambda x: (module(x),), "detection": module.detect if "ssd" in name else None,
                    "segmentation": lambda x: (module.segment(x),)}[manifest.task](torch.from_numpy(image(side)))
    for found, wanted in zip(answers(result, image(side)), expected, strict=True):
        if manifest.task == "segmentation":
            assert (found == wanted.numpy()).mean() > 0.999
        else:
            assert np.abs(found - wanted.numpy()).max() / np.abs(wanted.numpy()).max() < 1e-4


def test_the_callers_module_stays_as_it_is(tmp_path):
    module = module_of("xxs").half().train()
    module.head.weight.requires_grad_(True)
    before = copy.deepcopy(module.state_dict())
    export_onnx(module, tmp_path, **QUICK)
    assert module.training and all(part.training for part in module.modules())
    assert all(parameter.requires_grad and parameter.dtype == torch.float16 for parameter in module.parameters())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_configuration_that_is_not_registered_is_named_after_its_family(tmp_path):
    config = EdgeNeXtConfig(dims=(16, 24, 32, 48), depths=(1, 2, 2, 2), heads=(2, 2, 2, 2))
    result = export_onnx(randomise(EdgeNeXt(config, 7), 1), tmp_path, **QUICK)
    assert result.onnx_path.endswith("edgenext.onnx") and result.manifest.variant == "edgenext"
    assert result.manifest.outputs[0].shape == (1, 7)
    assert result.manifest.preprocessing.mean == get_variant("xxs").mean


def test_a_variant_that_is_not_registered_is_exported_under_its_name(tmp_path):
    mine = dataclasses.replace(get_variant("xxs"), name="mine", image_size=96)
    result = export_onnx(mine, tmp_path, target="onnxruntime", num_classes=3, seed=5)
    assert result.onnx_path == str(tmp_path / "mine.onnx") and result.manifest.weights.random
    assert result.manifest.inputs[0].shape == (1, 3, 96, 96) and result.manifest.outputs[0].shape == (1, 3)


def test_what_is_no_network_of_ours_is_refused():
    with pytest.raises(UsageError, match="Linear found; a module of"):
        export_onnx(nn.Linear(3, 4))
    with pytest.raises(UsageError, match="int found"):
        export_onnx(3)
    with pytest.raises(UsageError, match="EdgeNeXtBackbone is a backbone without a classifier"):
        export_onnx(EdgeNeXtBackbone(get_variant("xxs").config))
    with pytest.raises(UsageError, match="a module is exported with the weights it has"):
        export_onnx(module_of("xxs"), pretrained=True)


def test_a_module_with_weights_that_are_no_numbers_is_refused(tmp_path):
    module = module_of("xxs")
    with torch.no_grad():
        module.head.weight[0, 0] = float("nan")
    with pytest.raises(BadInputError, match=r"head\.weight has values that are NaN"):
        export_onnx(module, tmp_path / "out", **QUICK)
    with torch.device("meta"):
        empty = EdgeNeXt(get_variant("xxs").config)
    with pytest.raises(BadInputError, match="on the meta device"):
        export_onnx(empty, tmp_path / "out", **QUICK)
    with pytest.raises(BadInputError, match="the module has 5 classes, 6 expected"):
        export_onnx(module_of("xxs"), tmp_path / "out", num_classes=6, **QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options, words", [
    ({"layout": "nhwc"}, "layout 'nhwc' found, nchw or tokens expected"), ({"batch": 0}, "batch 0 found, 1 to 256"),
    ({"tolerance": 2.0}, "tolerance 2.0 found"), ({"tolerance": 0.2}, "--auto-pin is missing"),
    ({"labels": ["a", ""]}, "none of them empty"), ({"image_size": (64, 65)}, "image size 64x65"),
    ({"seed": 1 << 64}, "seed 18446744073709551616 found"),
    ({"image_size": "64 by 64"}, "N or HxW expected"), ({"target": "nanno"}, "did you mean 'nano'")])
def test_what_the_command_would_refuse_the_function_refuses(options, words):
    with pytest.raises(UsageError, match=words):
        export_onnx("xxs", **options)


@pytest.mark.parametrize("size", [(64, 96), "64x96"])
def test_image_sizes(size):
    assert ExportRequest("xxs", image_size=size).resolve().shape == (1, 3, 64, 96)


def test_labels_may_be_a_list():
    names = [f"thing {number}" for number in range(1000)]
    found = ExportRequest("xxs", labels=names).resolve()
    assert found.labels == tuple(names) and found.labels_source == "a list"
    with pytest.raises(BadInputError, match="2 labels found, 1000 expected"):
        ExportRequest("xxs", labels=["a", "b"]).resolve()


def test_a_wrong_keyword_is_an_error_and_options_have_no_positions():
    with pytest.raises(TypeError, match="traget"):
        export_onnx("xxs", traget="nano")
    with pytest.raises(TypeError, match="positional"):
        export_onnx("xxs", ".", "nano")


def test_the_functions_arguments_are_the_records_fields_and_the_commands_options():
    fields = {field.name: field for field in dataclasses.fields(ExportRequest)}
    signature = inspect.signature(export_onnx)
    assert list(signature.parameters) == list(fields) and signature.return_annotation is ExportResult
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY
               for name, parameter in signature.parameters.items() if name not in ("model_or_variant", "output"))
    options = {option.name: option for option in export_command.params
               if option.name not in ("variant", "as_json", "json_file", "debug", "version",
                                      # They write something else beside the file, or in place of it.
                                      "race", "deepstream", "serve", "repository", "max_batch")}
    assert set(options) == set(fields) - {"model_or_variant", "progress"}
    context = export_command.make_context("edgenext-export", ["--variant", "xxs"])
    assert {name: context.params[name] for name in options} == {name: fields[name].default for name in options}
    for name, choices in CHOICES.items():
        assert tuple(options[name].type.choices) == choices
    for name, (low, high) in {**WHOLE_NUMBERS, **FRACTIONS}.items():
        assert (options[name].type.min, options[name].type.max) == (low, high)


def test_check_onnx(nano_export):
    path = nano_export("xxs").onnx_path
    verdicts = check_onnx(path, target="nano")
    assert isinstance(verdicts, Verdicts) and verdicts.path == path and verdicts.opset == 13
    assert verdicts.releases["8.2"].supported and "nano" in verdicts.targets
    assert verdicts.to_json()["targets"]["nano"] == {"accepted": True, "problems": []}
    with pytest.raises(UsageError, match="did you mean 'nano'"):
        check_onnx(path, target="nanno")


def test_check_onnx_refuses_for_a_target(tmp_path):
    path = export_onnx("xxs", tmp_path, **QUICK).onnx_path
    assert "nano" not in check_onnx(path).targets
    with pytest.raises(IncompatibleError, match="target nano cannot run this graph"):
        check_onnx(path, target="nano")


def test_the_face_loads_no_torch_before_an_export():
    code = ("import sys, inspect\nfrom edgenext_deploy.export import *\n"
            "inspect.signature(export_onnx); ExportRequest('xxs').resolve()\n"
            "print('torch' in sys.modules, 'onnx' in sys.modules)")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT, check=True)
    assert shown.stdout.split() == ["False", "False"]
    assert set(export.__all__) <= set(dir(export))
