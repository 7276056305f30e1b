"""Manifests and graphs whose numbers would take memory, time or another file: refused before anything is opened."""
import json
import os
import shutil

import pytest
from paths import DATA

from edgenext_deploy.artifacts import engine_file, manifest, onnx_shell
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import read_file
from edgenext_deploy.networks.classifier import Classifier

HOSTILE = os.path.join(DATA, "hostile")


def hostile(tmp_path, name):
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.join(HOSTILE, name + ending), str(tmp_path))
    return str(tmp_path / (name + ".onnx"))


@pytest.mark.parametrize("name, said", [
    ("huge_dims", "has an input or output of the shape"), ("batch_huge", "has an input or output of the shape"),
    ("batchm", r"inputs\[0\].shape is \[1000000000, 3"), ("ext_fifo", "a second file")])
def test_graphs_that_would_take_memory_or_open_a_pipe(tmp_path, name, said):
    path = hostile(tmp_path, name)
    os.mkfifo(str(tmp_path / "ff"))
    with pytest.raises(BadInputError, match=said):
        Classifier(path)


def changed(field, value):
    with open(os.path.join(DATA, "tiny_classifier.json"), encoding="utf-8") as stream:
        data = json.load(stream)
    place = data
    *parts, last = field.split(".")
    for part in parts:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(data).encode("utf-8")


@pytest.mark.parametrize("field, value", [
    ("inputs.0.name", "image\x1b[31m"), ("outputs.0.name", "logits\n"),
    ("precision.fp32_pins", {"norm": ["a", "b\u202e"]})])
def test_names_that_would_match_nothing_once_they_are_safe_to_show(field, value):
    """They are escaped when they are read, and by them tensors and nodes are looked for."""
    with pytest.raises(BadInputError, match=r"one without control characters is expected") as caught:
        manifest.parse(changed(field, value), "x.json")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field, value", [
    ("inputs.0.shape", [1 << 40, 3, 32, 32]), ("inputs.0.shape", [1, 3, -1, 32]), ("inputs.0.shape", [1] * 9),
    ("outputs.0.shape", [1, 1 << 62]), ("golden.output_shape", [10 ** 18, 10 ** 18]), ("golden.seed", -1),
    ("golden.seed", 1 << 63), ("golden.tolerance", {"fp32": 1e308}), ("golden.tolerance", {"fp32": -1.0}),
    ("graph.bytes", -1), ("graph.opset", 10 ** 19), ("precision.fp16_share", 1e308), ("variant", "A" * 100000),
    ("labels.0", "A" * 100000), ("graph.sha256", "A" * 100000), ("task", "A" * 100000)])
def test_manifest_numbers_beyond_their_range(field, value):
    with pytest.raises(BadInputError) as caught:
        manifest.parse(changed(field, value), "m.json")
    assert field.split(".0")[0] in caught.value.message
    assert len(str(caught.value)) < 500


def test_graph_of_another_size_is_not_read(tmp_path):
    path = hostile(tmp_path, "ansi")
    os.truncate(path, 1 << 38)
    with pytest.raises(BadInputError, match=r"274877906944 bytes found, \d+ expected"):
        engine_file.open_graph(path)
    os.unlink(str(tmp_path / "ansi.json"))
    with pytest.raises(BadInputError, match="274877906944 bytes is too large"):
        engine_file.open_graph(path)


def field(number, content):
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_graphs_inside_of_graphs_end():
    graph = b""
    for _ in range(1000):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(BadInputError, match="deep"):
        onnx_shell.require_plain_graph(field(7, graph), "a.onnx")


@pytest.mark.parametrize("location", [field(13, b"\x0a\x01a"), b"\x70\x01"])
def test_data_of_a_constant_in_another_file(location):
    constant = field(1, field(5, field(5, location)))
    with pytest.raises(BadInputError, match="second file"):
        onnx_shell.require_plain_graph(field(7, constant), "a.onnx")


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path)):
        with pytest.raises(BadInputError, match="is not a file"):
            read_file(path, "thing", "make it", 10)
    (tmp_path / "long").write_bytes(b"0123456789a")
    with pytest.raises(BadInputError, match="11 bytes is too large for a thing"):
        read_file(str(tmp_path / "long"), "thing", "make it", 10)
    # Memory is taken for what is there, not for what is allowed.
    assert read_file(str(tmp_path / "long"), "thing", "make it", 1 << 50) == b"0123456789a"
