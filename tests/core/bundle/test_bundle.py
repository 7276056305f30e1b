"""Bundles: every graph comes back byte for byte, weights are stored once, and a hostile file is refused."""
import json
import os
import random

import numpy as np
import pytest
from doubles import onnx_writer as ow
from race_bundles import named, tiny_graphs, tiny_manifest, write_tiny

from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.bundle.record import LENGTH_BYTES, MAGIC
from edgenext_deploy.bundle.weights import find_weights
from edgenext_deploy.bundle.writing import bundle_bytes
from edgenext_deploy.errors import BadInputError

MANIFEST = tiny_manifest()


def tensor(name, values, packed=False):
    """Return a TensorProto, its dims packed or not as both may occur."""
    dims = [ow._varint(size) for size in values.shape]
    head = ow._field(1, b"".join(dims)) if packed else b"".join(ow._field(1, size) for size in values.shape)
    return head + ow._field(2, ow.HALF if values.itemsize == 2 else ow.FLOAT) + ow._field(8, name) + ow._field(
        9, values.tobytes())


def graph_of(*tensors, constant=None):
    nodes = []
    if constant is not None:  # the tensor of a Constant node
        nodes = [ow._field(4, "Constant") + ow._field(5, ow._field(1, "value") + ow._field(5, constant))]
    graph = b"".join(ow._field(1, node) for node in nodes) + b"".join(ow._field(5, item) for item in tensors)
    return ow._field(1, 7) + ow._field(7, graph) + ow._field(8, ow._field(2, 13))


def write(path, graphs):
    path.write_bytes(bundle_bytes("tiny", graphs))
    return open_bundle(str(path))


def test_every_graph_comes_back_byte_for_byte(tmp_path):
    graphs = tiny_graphs("first", "second", "third")
    bundle = write(tmp_path / "tiny.race", graphs)
    assert [candidate.name for candidate in bundle.record.candidates] == ["first", "second", "third"]
    for given in graphs:
        assert bundle.files(given.name) == (given.graph, given.manifest)
        path = bundle.write(given.name, str(tmp_path / "out" / "net.onnx"))
        assert open_graph(path).manifest() == bundle.manifests[given.name]


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("packed", [False, True])
def test_a_matrix_is_stored_once_in_either_orientation(tmp_path, kind, packed):
    """A 1x1 convolution and Gemm have `[out, in]`, MatMul has `[in, out]`."""
    weights = np.random.RandomState(1).randn(48, 32).astype(kind)
    other = np.random.RandomState(2).randn(7, 5, 11).astype(kind)
    graphs = [named("conv", graph_of(tensor("w", weights.reshape(48, 32, 1, 1), packed), tensor("o", other)), MANIFEST),
              named("matmul", graph_of(tensor("o2", other, packed), tensor("w2", weights.T.copy())), MANIFEST),
              named("constant", graph_of(constant=tensor("w3", weights)), MANIFEST)]
    bundle = write(tmp_path / "tiny.race", graphs)
    for given in graphs:
        assert bundle.files(given.name).graph == given.graph
    blobs = [blob for blob in bundle.record.blobs if blob.stored == blob.bytes and blob.bytes > 200]
    assert sorted(blob.bytes for blob in blobs) == sorted([weights.nbytes, other.nbytes])


def test_weights_are_found_where_they_are():
    values = np.arange(100, dtype=np.float32)
    graph = graph_of(tensor("a", values), tensor("small", values[:3]), constant=tensor("b", values.reshape(4, 25)))
    found = find_weights(graph)
    assert [graph[item.start:item.end] for item in found] == [values.tobytes()] * 2
    assert sorted(item.shape for item in found) == [(4, 25), (100,)]
    assert find_weights(b"no protobuf at all \xff\xff\xff") == []


def test_what_is_no_onnx_is_kept_whole(tmp_path):
    given = named("odd", b"\xff" * 1000, MANIFEST)
    assert write(tmp_path / "tiny.race", [given]).files("odd").graph == given.graph


def test_left_out_formulations_are_told(tmp_path):
    path = write_tiny(tmp_path / "tiny.race", "one", left_out={"scaled": "drift 0.2, 0.02 allowed"})
    assert open_bundle(path).record.left_out == {"scaled": "drift 0.2, 0.02 allowed"}


def header_of(content):
    length = int.from_bytes(content[len(MAGIC):len(MAGIC) + LENGTH_BYTES], "little")
    start = len(MAGIC) + LENGTH_BYTES
    return json.loads(content[start:start + length].decode()), content[start + length:]


def with_header(header, rest):
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(LENGTH_BYTES, "little") + text + rest


def first(header):
    return header["candidates"][0]


def biggest(header):
    return max(range(len(header["blobs"])), key=lambda index: header["blobs"][index]["stored"])


HOSTILE = {
    "a name with a folder": lambda header: first(header).update(name="../../etc/x"),
    "a name twice": lambda header: header["candidates"][1].update(name=first(header)["name"]),
    "no candidate": lambda header: header.update(candidates=[]),
    "another schema": lambda header: header.update(schema=2),
    "no schema": lambda header: header.pop("schema"),
    "a digest that is none": lambda header: first(header).update(sha256="x" * 64),
    "another graph's digest": lambda header: first(header).update(sha256=header["candidates"][1]["sha256"]),
    "another manifest": lambda header: first(header).update(manifest=header["candidates"][1]["manifest"]),
    "a blob that is not there": lambda header: first(header).update(skeleton=99),
    "a negative blob": lambda header: first(header).update(skeleton=-1),
    "a blob far too large": lambda header: header["blobs"][0].update(bytes=1 << 40),
    "a blob that grows a hundredfold": lambda header: header["blobs"][0].update(
        bytes=header["blobs"][0]["bytes"] * 100),
    "an empty blob": lambda header: header["blobs"][0].update(stored=0),
    "another size": lambda header: first(header).update(bytes=first(header)["bytes"] + 1),
    "weights behind the end": lambda header: first(header)["weights"].append([1 << 20, 0, 0, 0]),
    "negative bytes": lambda header: first(header)["weights"].append([-5, 0, 0, 0]),
    "five numbers": lambda header: first(header).update(weights=[[0, 0, 0, 0, 0]]),
    "no matrix": lambda header: first(header).update(weights=[[0, 0, 7, 4]]),
    "zero rows": lambda header: first(header).update(weights=[[0, 0, 0, 4]]),
    "a gigabyte from a small file": lambda header: first(header).update(
        weights=[[0, biggest(header), 0, 0]] * 19000,
        bytes=19000 * header["blobs"][biggest(header)]["bytes"]
        + header["blobs"][first(header)["skeleton"]]["bytes"]),
    "a million weights": lambda header: first(header).update(weights=[[0, 0, 0, 0]] * 30000),
}


@pytest.mark.parametrize("fault", sorted(HOSTILE))
def test_hostile_headers(tmp_path, fault):
    path = write_tiny(tmp_path / "tiny.race", "one", "two")
    with open(path, "rb") as stream:
        header, rest = header_of(stream.read())
    HOSTILE[fault](header)
    with open(path, "wb") as stream:
        stream.write(with_header(header, rest))
    with pytest.raises(BadInputError) as caught:
        bundle = open_bundle(path)
        bundle.files(bundle.record.candidates[0].name)
    assert caught.value.fix


def test_files_that_are_no_bundles(tmp_path):
    path = tmp_path / "tiny.race"
    write_tiny(path, "one")
    whole = path.read_bytes()
    for content in (b"", MAGIC, MAGIC + b"\xff" * 8, whole[:100], whole[:-1], whole + b"x", b"PK" + whole,
                    MAGIC + (4).to_bytes(8, "little") + b"null"):
        path.write_bytes(content)
        with pytest.raises(BadInputError):
            open_bundle(str(path))
    with pytest.raises(BadInputError):
        open_bundle(str(tmp_path))
    with pytest.raises(BadInputError):
        open_bundle(str(tmp_path / "none.race"))
    os.mkfifo(str(tmp_path / "pipe.race"))
    with pytest.raises(BadInputError):
        open_bundle(str(tmp_path / "pipe.race"))


def test_damage_is_found(tmp_path):
    """Whatever bit changes: an error, or the same graphs."""
    path = write_tiny(tmp_path / "tiny.race", "one", "two")
    with open(path, "rb") as stream:
        whole = stream.read()
    right = {given.name: (given.graph, given.manifest) for given in tiny_graphs("one", "two")}
    chance = random.Random(19)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        with open(path, "wb") as stream:
            stream.write(damaged)
        try:
            bundle = open_bundle(path)
            found = {candidate.name: bundle.files(candidate.name) for candidate in bundle.record.candidates}
        except BadInputError:
            refused += 1
        else:
            assert sorted(found.values()) == sorted(right.values())
    assert refused > 100


@pytest.mark.parametrize("field, value", [
    ("variant", "another"), ("labels", ("a",)), ("target", "orin"),
    ("weights", MANIFEST.weights._replace(sha256="0" * 64)),
    ("golden", MANIFEST.golden._replace(input_sha256="0" * 64)),
    ("precision", MANIFEST.precision._replace(requested="fp32"))])
def test_graphs_of_different_networks_do_not_race(tmp_path, field, value):
    one, two = tiny_graphs("one", "two")
    two = named("two", two.graph, MANIFEST, **{field: value})
    (tmp_path / "tiny.race").write_bytes(bundle_bytes("tiny", [one, two]))
    with pytest.raises(BadInputError, match="differ in {}; ".format(field)):
        open_bundle(str(tmp_path / "tiny.race"))


def test_the_file_is_replaced_meanwhile(tmp_path):
    path = write_tiny(tmp_path / "tiny.race", "one", "two")
    bundle = open_bundle(path)
    with open(path, "r+b") as stream:
        stream.truncate(500)
    with pytest.raises(BadInputError):
        bundle.files("one")
