"""What an export is told of the preprocessing: options, their errors, the defaults, and what the manifest says then."""
import io
import shlex

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from exports import quick_export
from rich.console import Console

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.data import path_of
from edgenext_deploy.engines.selftest.golden_test import self_test
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.commands.report import print_report
from edgenext_deploy.export.preprocessing_defaults import complete, crop_pct_of
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.runtime.open import open_session

NARROW = EdgeNeXtConfig(dims=(16, 24, 32, 48), depths=(1, 2, 2, 2), heads=(2, 2, 2, 2))
XXS = get_variant("xxs")


def said(variant="xxs", **options):
    return ExportRequest(variant, **options).resolve().preprocessing


@pytest.mark.parametrize("options, expected", [
    ({}, PreprocessingOptions()),
    ({"mean": "0.5,0.4,0.3", "std": (0.1, 0.2, 0.3)},
     PreprocessingOptions(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))),
    ({"mean": [0, 0, 0], "std": "1, 1, 1"}, PreprocessingOptions(mean=(0.0,) * 3, std=(1.0,) * 3)),
    ({"fit": "letterbox", "pad_color": "0,0,255"}, PreprocessingOptions(fit="letterbox", pad_color=(0, 0, 255))),
    ({"crop_pct": 0.9}, PreprocessingOptions(fit="crop", crop_pct=0.9)),
    ({"resize_size": 292, "image_size": 256},
     PreprocessingOptions(image_size=(256, 256), fit="crop", resize_size=292)),
    ({"channel_order": "bgr", "interpolation": "lanczos"},
     PreprocessingOptions(channel_order="bgr", interpolation="lanczos")),
])
def test_options_become_values(options, expected):
    assert said(**options) == expected


@pytest.mark.parametrize("options, words", [
    ({"mean": "0.5"}, "three numbers"), ({"mean": "a,b,c"}, "three numbers"), ({"std": "0.5,0.5,nan"}, "three numbers"),
    ({"mean": 0.5}, "three numbers"), ({"mean": "-0.1,0.5,0.5"}, "from 0 to 1"), ({"std": "0.5,0.5,0"}, "above 0 to 1"),
    ({"mean": "300,0,0"}, "from 0 to 1"), ({"fit": "squash"}, "fit 'squash'"), ({"interpolation": "area"}, "'area'"),
    ({"channel_order": "grb"}, "'grb'"), ({"pad_color": "1,2,3"}, "only --fit letterbox has one"),
    ({"pad_color": "1,2,3", "fit": "stretch"}, "only --fit letterbox"),
    ({"pad_color": "0.5,0.5,0.5", "fit": "letterbox"}, "whole numbers"),
    ({"pad_color": "0,0,256", "fit": "letterbox"}, "whole numbers"), ({"crop_pct": 0.9, "fit": "stretch"}, "cut off"),
    ({"resize_size": 300, "fit": "letterbox"}, "cut off"), ({"crop_pct": 0.9, "resize_size": 300}, "the same thing"),
    ({"variant": "xxs_ssdlite", "crop_pct": 0.9}, "sees the whole photo"),
    ({"variant": "xxs_deeplabv3", "resize_size": 600}, "sees the whole photo"),
])
def test_what_cannot_be_meant_is_refused(options, words):
    with pytest.raises(UsageError, match=words) as caught:
        said(**options)
    assert caught.value.fix


@pytest.mark.parametrize("options, written", [
    ({"mean": "123.675,116.28,103.53", "std": "58.395,57.12,57.375"},
     "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
    ({"mean": (127.5,) * 3}, "--mean 0.5,0.5,0.5"),
    # Caffe's networks: a mean of 0..255, and a deviation of one grey level.
    ({"mean": "123.68,116.779,103.939", "std": "1,1,1"},
     "--mean 0.48502,0.457957,0.407604 --std 0.00392157,0.00392157,0.00392157"),
    ({"mean": "123.675,116.28,103.53", "std": "0.229,0.224,0.225"},
     "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
    ({"std": "255,255,255"}, "--std 1,1,1"),
])
def test_numbers_for_0_to_255_are_named_and_divided(options, written):
    with pytest.raises(UsageError, match=r"0\.\.255 range") as caught:
        said(**options)
    assert caught.value.fix == "divide by 255: " + written
    words = shlex.split(written)
    assert said(**{name.strip("-"): value for name, value in zip(words[::2], words[1::2])}).over(
        PreprocessingOptions()) != PreprocessingOptions()


@pytest.mark.parametrize("size", [32, 64, 224, 256, 320, 512])
def test_a_resize_size_is_met_exactly(size):
    """Also where size / (size / N) falls below N, and after the manifest's JSON."""
    falls = 0
    for wanted in range(size, 10 * size + 1):
        crop_pct = float(repr(crop_pct_of(wanted, size, 2 * size)))
        assert int(size / crop_pct) == wanted and 0.1 <= crop_pct <= 1.0
        falls += crop_pct != size / wanted
    assert falls
    for wrong in (size - 1, 10 * size + 1):
        with pytest.raises(UsageError, match="--resize-size"):
            crop_pct_of(wrong, size, size)


def done(said_, variant=XXS, height=256, width=256):
    return complete(PreprocessingOptions(**said_), variant, height, width, False)


def test_what_is_not_said_is_the_published_networks():
    found, notes = done({})
    assert found == manifests.Preprocessing(256, 256, 0.875, "bicubic", XXS.mean, XXS.std, False) and notes == ()
    detector, segmenter = get_variant("xxs_ssdlite"), get_variant("xxs_deeplabv3")
    assert done({}, detector)[0].fit == done({"crop_pct": 0.9}, segmenter)[0].fit == "stretch"
    assert done({"crop_pct": 0.9}, segmenter)[0].crop_pct == 1.0
    assert done({"fit": "crop", "crop_pct": 0.9}, detector)[0].crop_pct == 0.9
    with pytest.raises(UsageError, match="not for segmenters"):
        done({"fit": "crop"}, segmenter)
    assert done({"fit": "letterbox"})[0].pad_color == (114, 114, 114)
    assert done({"resize_size": 299})[0].crop_pct == crop_pct_of(299, 256, 256)


@pytest.mark.parametrize("name, height, width, fit", [
    ("xxs", 352, 352, "crop"), ("xxs", 384, 384, "stretch"), ("s", 512, 512, "stretch"), ("xxs", 384, 352, "crop"),
    ("xxs", 384, 512, "stretch"), ("s_bn_hs", 384, 384, "stretch"), ("mobilevit_s", 384, 384, "crop")])
def test_from_384_pixels_the_published_edgenext_sees_the_whole_photo(name, height, width, fit):
    found, notes = done({}, get_variant(name), height, width)
    assert found.fit == fit and (found.crop_pct == 1.0) == (fit == "stretch")
    assert len(notes) == (fit == "stretch") and all(f"{height}x{width}" in note and "384" in note for note in notes)
    for asked in ({"fit": "crop"}, {"fit": "letterbox"}, {"fit": "stretch"}):
        found, notes = done(asked, get_variant(name), height, width)
        assert found.fit == asked["fit"] and notes == ()


def test_one_way_to_say_the_crop_hides_the_other():
    checkpoint = PreprocessingOptions(resize_size=292, mean=(0.5,) * 3)
    assert PreprocessingOptions(crop_pct=0.9).over(checkpoint) == PreprocessingOptions(crop_pct=0.9, mean=(0.5,) * 3)
    assert PreprocessingOptions(resize_size=300).over(PreprocessingOptions(crop_pct=0.9)).crop_pct is None
    assert PreprocessingOptions().over(checkpoint) == checkpoint


def exported(folder, **options):
    return quick_export(ExportRequest(randomise(EdgeNeXt(NARROW, 5), 1), folder, **{
        "image_size": 64, "target": "onnxruntime", **options}))


def printed(result):
    out = io.StringIO()
    print_report(result, Console(file=out, width=300))
    return out.getvalue()


def test_the_manifest_and_the_report_say_it(tmp_path):
    result = exported(tmp_path, mean="0.5,0.4,0.3", std="0.1,0.2,0.3", interpolation="bilinear", fit="letterbox",
                      pad_color="1,2,3", channel_order="bgr")
    manifest = manifests.read(result.manifest_path)
    assert manifest.preprocessing == manifests.Preprocessing(
        64, 64, 1.0, "bilinear", (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), False, "letterbox", "bgr", (1, 2, 3))
    assert manifest.schema == 2
    with open_session(result.onnx_path) as session:
        assert self_test(session, manifest).ok  # the golden input is in the same order
    assert ("mean [0.5, 0.4, 0.3], std [0.1, 0.2, 0.3], letterbox in [1, 2, 3], bilinear, bgr" in printed(result))


def test_an_older_toolkit_reads_what_it_can_do(tmp_path):
    """Schema 1 wherever the older one does it, or refuses it by itself."""
    for options in ({"mean": "0.5,0.5,0.5"}, {"fit": "stretch"}, {"resize_size": 80}, {"interpolation": "nearest"}):
        assert exported(tmp_path, force=True, **options).manifest.schema == 1


def test_a_large_export_says_that_it_stretches(tmp_path):
    result = exported(tmp_path, image_size=384)
    assert result.manifest.preprocessing.fit == "stretch"
    assert "note: the whole photo is stretched (warped) to 384x384" in printed(result)
    assert "stretched" not in printed(exported(tmp_path, image_size=384, crop_pct=0.9, force=True))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_folded_normalisation_is_the_options(tmp_path, order):
    """The engine that takes pixels answers as the one that takes what is normalised, for a photo."""
    import onnxruntime

    options = {"mean": "0.2,0.5,0.7", "std": "0.1,0.4,0.9", "channel_order": order}
    answers = []
    for folded in (False, True):
        result = exported(tmp_path / str(folded), fold_normalization=folded, **options)
        image = preprocess(path_of("photos", "cat.jpg"), result.manifest.preprocessing)
        session = onnxruntime.InferenceSession(onnx.load(result.onnx_path).SerializeToString())
        answers.append(session.run(None, {"image": image})[0])
        assert (image.max() > 100) == folded
    assert np.abs(answers[0] - answers[1]).max() < 1e-4 * np.abs(answers[0]).max()


def test_the_command_has_the_options():
    text = CliRunner().invoke(export_command, ["--help"]).output
    for option in ("--mean", "--std", "--interpolation", "--fit", "--pad-color", "--resize-size", "--channel-order"):
        assert option + " " in text
