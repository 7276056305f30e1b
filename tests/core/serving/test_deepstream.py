"""DeepStream's files: what GLib reads of them computes what the manifest says, or they are refused."""
import os

import glib
import numpy as np
import pytest
from paths import DATA, TINY

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Scores
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.serving.deepstream import deepstream_files

pytestmark = pytest.mark.skipif(glib.library() is None, reason="needs GLib (Debian's package libglib2.0-0)")

# The keys of [property] and of the application's groups that are used, as NVIDIA's tables name them (DeepStream 6.0,
# Gst-nvinfer: "[property]" groups; deepstream-app: Reference Application Configuration Groups).
PROPERTY = {"gpu-id", "gie-unique-id", "process-mode", "model-engine-file", "batch-size", "network-mode", "infer-dims",
            "model-color-format", "net-scale-factor", "offsets", "maintain-aspect-ratio", "symmetric-padding",
            "network-type", "labelfile-path", "classifier-threshold", "output-tensor-meta"}
APPLICATION = {
    "application": {"enable-perf-measurement", "perf-measurement-interval-sec"},
    "source0": {"enable", "type", "uri", "num-sources", "gpu-id"},
    "streammux": {"gpu-id", "batch-size", "batched-push-timeout", "width", "height"},
    "primary-gie": {"enable", "gpu-id", "gie-unique-id", "batch-size", "config-file"},
    "osd": {"enable", "gpu-id"}, "sink0": {"enable", "type", "sync"}}


def manifest_with(engine=TINY, **changes):
    """Return a classifier's manifest whose graph gives probabilities and sees whole frames."""
    found = manifests.read(manifests.manifest_path(engine))
    preprocessing = found.preprocessing._replace(**{"fit": "stretch", "crop_pct": 1.0, "std": (0.25,) * 3, **changes})
    return found._replace(preprocessing=preprocessing, scores=Scores("softmax", True),
                          outputs=(found.outputs[0]._replace(name="probabilities"),))


def config_of(manifest):
    return glib.KeyFile(deepstream_files(manifest, "net")["net.nvinfer.txt"])


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("folded", [False, True])
def test_nvinfers_formula_gives_the_networks_input(order, folded):
    manifest = manifest_with(mean=(0.485, 0.456, 0.406), channel_order=order, folded=folded)
    config = config_of(manifest)
    pixels = np.random.RandomState(0).randint(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    color = config.get("integer", "property", "model-color-format")
    assert color == ("rgb", "bgr").index(order)
    planes = pixels[0][::-1] if color else pixels[0]
    offsets = config.doubles("property", "offsets") or [0.0] * 3
    factor = np.float32(config.get("double", "property", "net-scale-factor"))
    found = np.stack([factor * (plane - np.float32(offset)) for plane, offset in zip(planes, offsets)])
    assert np.abs(found - normalise(pixels, manifest.preprocessing)[0]).max() < 1e-5 * (256 if folded else 1)


def test_every_key_is_in_nvidias_tables_and_every_value_is_the_manifests():
    manifest = manifest_with(fit="letterbox", pad_color=(0, 0, 0))
    manifest = manifest._replace(precision=manifest.precision._replace(requested="fp16"))
    config = config_of(manifest)
    assert set(config.keys("property")) <= PROPERTY
    integers = {key: config.get("integer", "property", key) for key in config.keys("property")}
    expected = {"batch-size": 1, "network-mode": 2, "network-type": 1, "maintain-aspect-ratio": 1,
                "symmetric-padding": 1, "process-mode": 1, "classifier-threshold": 0}
    assert {key: integers[key] for key in expected} == expected
    assert config.get("string", "property", "infer-dims") == b"3;32;32"
    assert config.get("string", "property", "model-engine-file") == b"net.plan"
    assert "onnx-file" not in config.keys("property")  # nvinfer would build of it, without FP32 pins
    files = deepstream_files(manifest, "net")
    assert files["net.labels.txt"].decode().strip().split(";") == list(manifest.labels)
    application = glib.KeyFile(files["net.deepstream.txt"])
    assert {group: set(application.keys(group)) for group in APPLICATION} == APPLICATION
    assert application.get("string", "primary-gie", "config-file") == b"net.nvinfer.txt"


def test_a_sigmoids_threshold_is_nvinfers():
    manifest = manifest_with()._replace(scores=Scores("sigmoid", True, 0.3))
    assert config_of(manifest).get("double", "property", "classifier-threshold") == 0.3


@pytest.mark.parametrize("engine", ["tiny_features"])
def test_other_tasks_hand_over_their_tensors(engine):
    manifest = manifests.read(manifests.manifest_path(os.path.join(DATA, engine + ".onnx")))
    manifest = manifest._replace(preprocessing=manifest.preprocessing._replace(fit="stretch", std=(0.25,) * 3))
    files = deepstream_files(manifest, "net")
    config = glib.KeyFile(files["net.nvinfer.txt"])
    assert config.get("integer", "property", "network-type") == 100
    assert config.get("integer", "property", "output-tensor-meta") == 1 and "net.labels.txt" not in files


@pytest.mark.parametrize("change, message, fix", [
    (lambda found: found._replace(scores=None), "gives logits", "--outputs probabilities"),
    (lambda found: found._replace(labels=("a;b", *found.labels[1:])), "'a;b' has a ';'", "--labels"),
    (lambda found: found._replace(inputs=(found.inputs[0]._replace(dtype="uint8"),)), "takes uint8", "--input uint8"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(std=(0.229, 0.224, 0.225))),
     "std is 0.229, 0.224, 0.225", "--fold-normalization"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(fit="crop")), "sees the middle", "--fit"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(
        fit="letterbox", pad_color=(114, 114, 114))), "border is 114, 114, 114", "--pad-color 0,0,0")])
def test_what_nvinfer_would_compute_otherwise_is_refused(change, message, fix):
    with pytest.raises(IncompatibleError, match=message) as caught:
        deepstream_files(change(manifest_with()), "net")
    assert fix in caught.value.fix
