"""A model repository, read with Triton's own protobuf; EDGENEXT_TRITON names a Python that has tritonclient[grpc]."""
import json
import os
import subprocess

import numpy as np
import pytest
from paths import DATA, TINY

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
needs_triton = pytest.mark.skipif(not PYTHON, reason="EDGENEXT_TRITON names no Python with tritonclient[grpc]")


def files_of(engine=TINY, kind="triton", change=lambda found: found):
    with open(engine, "rb") as stream:
        return triton_files(change(manifests.read(manifests.manifest_path(engine))), "net", kind, stream.read())


def read_by_triton(content):
    return json.loads(subprocess.run([PYTHON, "-c", READ], input=content, stdout=subprocess.PIPE, check=True).stdout)


def test_the_layout_is_tritons():
    assert sorted(files_of()) == ["net/1/model.onnx", "net/config.pbtxt", "net/labels.txt", "net/warmup/golden"]
    assert sorted(files_of(kind="triton-tensorrt")) == ["net/config.pbtxt", "net/labels.txt", "net/warmup/golden"]
    assert plan_path("net") == "net/1/model.plan"
    assert files_of()["net/labels.txt"].decode().split() == list(manifests.read(manifests.manifest_path(TINY)).labels)


def test_the_warm_up_is_the_golden_input():
    pytest.importorskip("onnxruntime")
    found = manifests.read(manifests.manifest_path(TINY))
    with open_session(TINY) as session:
        image = np.frombuffer(files_of()["net/warmup/golden"], np.float32).reshape(session.inputs[0].shape)
        assert golden.digest(image) == found.golden.input_sha256


@needs_triton
@pytest.mark.parametrize("kind, runs", [("triton", {"backend": "onnxruntime"}),
                                        ("triton-tensorrt", {"platform": "tensorrt_plan"})])
@pytest.mark.parametrize("engine", ["tiny_classifier", "tiny_batch", "tiny_pixels", "tiny_features"])
def test_tritons_protobuf_reads_what_the_manifest_says(engine, kind, runs):
    path = os.path.join(DATA, engine + ".onnx")
    found = manifests.read(manifests.manifest_path(path))
    config = read_by_triton(files_of(path, kind)["net/config.pbtxt"])
    assert {key: config[key] for key in runs} == runs and config["name"] == "net"
    assert "max_batch_size" not in config  # 0: the shapes have the batch in them
    types = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
    for side, specs in (("input", found.inputs), ("output", found.outputs)):
        assert [(tensor["name"], [int(size) for size in tensor["dims"]], tensor["data_type"])
                for tensor in config[side]] == [(spec.name, list(spec.shape), types[spec.dtype]) for spec in specs]
    labelled = ["label_filename" in tensor for tensor in config["output"]]
    assert labelled == [found.task == "classification" and bool(found.labels)]
    (warm_up,) = config["model_warmup"]
    assert warm_up["inputs"]["image"]["input_data_file"] == "golden" and warm_up["batch_size"] == 1


def test_a_type_that_triton_has_not_is_refused():
    with pytest.raises(IncompatibleError, match="no type for image complex64"):
        files_of(change=lambda found: found._replace(inputs=(found.inputs[0]._replace(dtype="complex64"),)))
