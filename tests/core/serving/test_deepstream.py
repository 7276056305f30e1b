"""DeepStream's files: what GLib reads of them computes what the manifest says, or they are refused."""
import os

import glib
import numpy as np
import pytest
from paths import DATA, TINY
from tiny_tasks import write_detector, write_segmenter

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Scores
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.serving.deepstream import deepstream_files

pytestmark = pytest.mark.skipif(glib.library() is None, reason="needs GLib (Debian's package libglib2.0-0)")

# What nvinfer reads: gst_nvinfer_parse_props and gst_nvinfer_parse_other_attribute in gstnvinfer_property_parser.cpp as
# DeepStream 6.0 has it (NVIDIA's copyright of 2018 to 2021, from public repositories), with the type that GLib reads
# and what is refused or means nothing. 9.1 (github.com/NVIDIA/DeepStream, src/gst-plugins/gst-nvinfer, commit 3503348)
# reads these alike, and takes 3 as a network-mode too. NVDSINFER_MAX_BATCH_SIZE, NvDsInferNetworkMode and
# NvDsInferNetworkType are nvdsinfer_context.h's.
PROPERTY = {
    "gpu-id": ("integer", lambda value: value >= 0),
    "gie-unique-id": ("integer", lambda value: value > 0),
    "process-mode": ("integer", lambda value: value in (1, 2)),  # whole frames, objects
    "model-engine-file": ("string", lambda value: not value.startswith(b"/")),  # below the configuration's folder
    "batch-size": ("integer", lambda value: 1 <= value <= 1024),
    "network-mode": ("integer", lambda value: value in (0, 1, 2)),  # FP32, INT8, FP16
    "infer-dims": ("integers", lambda value: len(value) == 3 and min(value) > 0),  # channels, height, width
    "model-color-format": ("integer", lambda value: value in (0, 1, 2)),  # RGB, BGR, grey
    "net-scale-factor": ("double", lambda value: value > 0),
    "offsets": ("doubles", lambda value: len(value) == 3),  # as many as the network has channels
    "maintain-aspect-ratio": ("boolean", lambda value: value in (0, 1)),
    "symmetric-padding": ("boolean", lambda value: value in (0, 1)),
    "network-type": ("integer", lambda value: value in (0, 1, 2, 3, 100)),
    "labelfile-path": ("string", lambda value: not value.startswith(b"/")),
    "classifier-threshold": ("double", lambda value: 0 <= value < 1),
    "output-tensor-meta": ("boolean", lambda value: value in (0, 1))}
# deepstream_config_file_parser.c and deepstream_app_config_parser.c of DeepStream 6.0 and 9.1: [source0] of type 3
# takes addresses, [sink0] of type 1 shows nothing.
APPLICATION = {
    "application": {"enable-perf-measurement": 1, "perf-measurement-interval-sec": 5},
    "source0": {"enable": 1, "type": 3, "num-sources": 1, "gpu-id": 0, "uri": b"file:///path/to/video.mp4"},
    "streammux": {"gpu-id": 0, "batch-size": 1, "batched-push-timeout": 40000, "width": 1280, "height": 720},
    "primary-gie": {"enable": 1, "gpu-id": 0, "gie-unique-id": 1, "batch-size": 1, "config-file": b"net.nvinfer.txt"},
    "osd": {"enable": 1, "gpu-id": 0}, "sink0": {"enable": 1, "type": 1, "sync": 0}}


def manifest_with(engine=TINY, **changes):
    """Return a classifier's manifest whose graph gives probabilities and sees whole frames."""
    found = manifests.read(manifests.manifest_path(engine))
    preprocessing = found.preprocessing._replace(**{"fit": "stretch", "crop_pct": 1.0, "std": (0.25,) * 3, **changes})
    return found._replace(preprocessing=preprocessing, scores=Scores("softmax", True),
                          outputs=(found.outputs[0]._replace(name="probabilities"),))


def config_of(manifest):
    """Return nvinfer's configuration, once nvinfer would read each key of it."""
    config = glib.KeyFile(deepstream_files(manifest, "net")["net.nvinfer.txt"])
    assert config.groups() == ["property"]
    for key in config.keys("property"):
        kind, allowed = PROPERTY[key]
        value = (config.numbers(kind[:-1], "property", key) if kind.endswith("s") else
                 config.get(kind, "property", key))
        assert allowed(value), (key, value)
    return config


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("folded", [False, True])
def test_nvinfers_formula_gives_the_networks_input(order, folded):
    manifest = manifest_with(mean=(0.485, 0.456, 0.406), channel_order=order, folded=folded)
    config = config_of(manifest)
    pixels = np.random.RandomState(0).randint(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    color = config.get("integer", "property", "model-color-format")
    assert color == ("rgb", "bgr").index(order)
    planes = pixels[0][::-1] if color else pixels[0]
    offsets = config.numbers("double", "property", "offsets") or [0.0] * 3
    factor = np.float32(config.get("double", "property", "net-scale-factor"))
    found = np.stack([factor * (plane - np.float32(offset)) for plane, offset in zip(planes, offsets)])
    assert np.abs(found - normalise(pixels, manifest.preprocessing)[0]).max() < 1e-5 * (256 if folded else 1)


def test_every_key_is_one_of_nvidias_and_every_value_is_the_manifests():
    manifest = manifest_with(fit="letterbox", pad_color=(0, 0, 0))
    manifest = manifest._replace(precision=manifest.precision._replace(requested="fp16"))
    config = config_of(manifest)
    expected = {"batch-size": 1, "network-mode": 2, "network-type": 1, "maintain-aspect-ratio": 1,
                "symmetric-padding": 1, "process-mode": 1, "classifier-threshold": 0}
    assert {key: config.get("integer", "property", key) for key in expected} == expected
    assert config.numbers("integer", "property", "infer-dims") == [3, 32, 32]
    assert config.get("string", "property", "model-engine-file") == b"net.plan"
    # nvinfer would build of a graph, without FP32 pins.
    assert not {"onnx-file", "uff-file", "model-file"} & set(config.keys("property"))
    files = deepstream_files(manifest, "net")
    assert files["net.labels.txt"].decode().strip().split(";") == list(manifest.labels)
    application = glib.KeyFile(files["net.deepstream.txt"])
    assert {group: {key: application.get("string" if isinstance(APPLICATION[group][key], bytes) else "integer",
                                         group, key)
                    for key in application.keys(group)} for group in application.groups()} == APPLICATION


def test_a_sigmoids_threshold_is_nvinfers():
    manifest = manifest_with()._replace(scores=Scores("sigmoid", True, 0.3))
    assert config_of(manifest).get("double", "property", "classifier-threshold") == 0.3


def features(folder):
    return os.path.join(DATA, "tiny_features.onnx")


@pytest.mark.parametrize("write", [write_detector, write_segmenter, features])
def test_other_tasks_hand_over_their_tensors(write, tmp_path):
    """nvinfer's own parsers want a coverage map of a detector, and a probability of each class of a segmenter."""
    manifest = manifests.read(manifests.manifest_path(write(tmp_path)))
    manifest = manifest._replace(preprocessing=manifest.preprocessing._replace(fit="stretch", std=(0.25,) * 3))
    config = config_of(manifest)
    assert config.get("integer", "property", "network-type") == 100
    assert config.get("boolean", "property", "output-tensor-meta") == 1
    assert "net.labels.txt" not in deepstream_files(manifest, "net")
    assert not {"labelfile-path", "classifier-threshold"} & set(config.keys("property"))


def test_a_batch_is_that_of_the_plan():
    """nvinfer fills up fewer frames to the least that a plan takes, and refuses a plan for fewer than batch-size."""
    manifest = manifest_with()
    taken = manifest.inputs[0]
    manifest = manifest._replace(inputs=(taken._replace(shape=(4, *taken.shape[1:])),))
    assert config_of(manifest).get("integer", "property", "batch-size") == 4
    application = glib.KeyFile(deepstream_files(manifest, "net")["net.deepstream.txt"])
    assert [application.get("integer", group, "batch-size") for group in ("streammux", "primary-gie")] == [4, 4]


@pytest.mark.parametrize("change, message, fix", [
    (lambda found: found._replace(scores=None), "gives logits", "--outputs probabilities"),
    (lambda found: found._replace(labels=("a;b", *found.labels[1:])), "'a;b' has a ';'", "--labels"),
    (lambda found: found._replace(inputs=(found.inputs[0]._replace(dtype="uint8"),)), "takes uint8", "--input uint8"),
    (lambda found: found._replace(outputs=(found.outputs[0]._replace(dtype="float16"),)), "gives float16", "--io fp16"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(std=(0.229, 0.224, 0.225))),
     "std is 0.229, 0.224, 0.225", "--fold-normalization"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(fit="crop")), "sees the middle", "--fit"),
    (lambda found: found._replace(preprocessing=found.preprocessing._replace(
        fit="letterbox", pad_color=(114, 114, 114))), "border is 114, 114, 114", "--pad-color 0,0,0")])
def test_what_nvinfer_would_compute_otherwise_is_refused(change, message, fix):
    with pytest.raises(IncompatibleError, match=message) as caught:
        deepstream_files(change(manifest_with()), "net")
    assert fix in caught.value.fix
