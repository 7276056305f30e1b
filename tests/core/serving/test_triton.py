"""A model repository, read with Triton's own protobuf; EDGENEXT_TRITON names a Python that has tritonclient[grpc]."""
import json
import os
import subprocess

import numpy as np
import pytest
from paths import DATA, TINY
from tiny_tasks import write_detector, write_segmenter

from edgenext_deploy import open_session
from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.serving.triton import plan_path, triton_files

PYTHON = os.environ.get("EDGENEXT_TRITON")
READ = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""
TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8", "int32": "TYPE_INT32"}
needs_triton = pytest.mark.skipif(not PYTHON, reason="EDGENEXT_TRITON names no Python with tritonclient[grpc]")


def files_of(engine=TINY, kind="triton", change=lambda found: found, max_batch=None):
    with open(engine, "rb") as stream:
        return triton_files(change(manifests.read(manifests.manifest_path(engine))), "net", kind, stream.read(),
                            max_batch)


def engine_of(name, folder):
    """Return the path of an engine that ships with the tests, or of one of `tiny_tasks`."""
    writers = {"detector": write_detector, "segmenter": write_segmenter}
    return writers[name](folder) if name in writers else os.path.join(DATA, name + ".onnx")


def read_by_triton(content):
    return json.loads(subprocess.run([PYTHON, "-c", READ], input=content, stdout=subprocess.PIPE, check=True).stdout)


def test_the_layout_is_tritons():
    assert sorted(files_of()) == ["net/1/model.onnx", "net/config.pbtxt", "net/labels.txt", "net/warmup/golden"]
    assert sorted(files_of(kind="triton-tensorrt")) == ["net/config.pbtxt", "net/labels.txt", "net/warmup/golden"]
    assert plan_path("net") == "net/1/model.plan"
    assert files_of()["net/labels.txt"].decode().split() == list(manifests.read(manifests.manifest_path(TINY)).labels)


@needs_triton
@pytest.mark.parametrize("name", ["mod\u00e8le", "\U0001f408", 'a"b'])
def test_tritons_protobuf_reads_any_name(name):
    manifest = manifests.read(manifests.manifest_path(TINY))
    content = triton_files(manifest, name, "triton-tensorrt", b"")[name + "/config.pbtxt"]
    assert read_by_triton(content)["name"] == name


def test_the_warm_up_is_the_golden_input():
    pytest.importorskip("onnxruntime")
    found = manifests.read(manifests.manifest_path(TINY))
    with open_session(TINY) as session:
        image = np.frombuffer(files_of()["net/warmup/golden"], np.float32).reshape(session.inputs[0].shape)
        assert golden.digest(image) == found.golden.input_sha256


@needs_triton
@pytest.mark.parametrize("kind, runs", [("triton", {"backend": "onnxruntime"}),
                                        ("triton-tensorrt", {"platform": "tensorrt_plan"})])
@pytest.mark.parametrize("engine", ["tiny_classifier", "tiny_batch", "tiny_pixels", "tiny_features", "detector",
                                    "segmenter"])
def test_tritons_protobuf_reads_what_the_manifest_says(engine, kind, runs, tmp_path):
    path = engine_of(engine, tmp_path)
    found = manifests.read(manifests.manifest_path(path))
    config = read_by_triton(files_of(path, kind)["net/config.pbtxt"])
    assert {key: config[key] for key in runs} == runs and config["name"] == "net"
    assert "max_batch_size" not in config  # 0: the shapes have the batch in them
    assert "dynamic_batching" not in config
    require_tensors(config, found, 0)
    assert [warm_up["batch_size"] for warm_up in config["model_warmup"]] == [1]


def require_tensors(config, manifest, left_out):
    """Compare inputs, outputs, labels and warm-up; shapes are without the first `left_out` sizes."""
    for side, specs in (("input", manifest.inputs), ("output", manifest.outputs)):
        assert [(tensor["name"], [int(size) for size in tensor["dims"]], tensor["data_type"])
                for tensor in config[side]] == [(spec.name, list(spec.shape[left_out:]), TYPES[spec.dtype])
                                                for spec in specs]
    labelled = ["label_filename" in tensor for tensor in config["output"]]
    assert labelled == [manifest.task == "classification" and bool(manifest.labels)] * len(manifest.outputs)
    taken = manifest.inputs[0]
    for warm_up in config["model_warmup"]:
        assert warm_up["inputs"] == {taken.name: {
            "data_type": TYPES[taken.dtype], "dims": [str(size) for size in taken.shape[left_out:]],
            "input_data_file": "golden"}}


@needs_triton
@pytest.mark.parametrize("engine", ["tiny_classifier", "tiny_pixels", "tiny_features", "detector", "segmenter"])
def test_tritons_protobuf_reads_dynamic_batching(engine, tmp_path):
    path = engine_of(engine, tmp_path)
    config = read_by_triton(files_of(path, max_batch=6)["net/config.pbtxt"])
    assert config["max_batch_size"] == 6 and config["dynamic_batching"] == {
        "preferred_batch_size": [2, 4, 6], "max_queue_delay_microseconds": "100"}
    require_tensors(config, manifests.read(manifests.manifest_path(path)), 1)
    assert [warm_up["batch_size"] for warm_up in config["model_warmup"]] == [1, 6]
    assert config["instance_group"] == [{"kind": "KIND_AUTO", "count": 1}] or config["instance_group"] == [{"count": 1}]


@pytest.mark.parametrize("most, sizes", [(2, [2]), (3, [2, 3]), (8, [2, 4, 8]), (12, [2, 4, 8, 12])])
def test_the_sizes_that_do_not_wait(most, sizes):
    config = files_of(max_batch=most)["net/config.pbtxt"].decode()
    assert "max_batch_size: {}\n".format(most) in config
    assert "preferred_batch_size: {}\n".format(sizes) in config
    assert "dims: [3, 32, 32]" in config and "dims: [1, 3" not in config


def test_a_type_that_triton_has_not_is_refused():
    with pytest.raises(IncompatibleError, match="no type for image complex64"):
        files_of(change=lambda found: found._replace(inputs=(found.inputs[0]._replace(dtype="complex64"),)))
