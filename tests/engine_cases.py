"""Graphs, manifests and doubles that the tests of the engines share. Runs on Python 3.6."""
import os
import shutil
import sys

from doubles import onnx_writer as ow
from doubles import tensorrt_double
from paths import DATA

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import GraphFile, Precision
from edgenext_deploy.engines.build_records import BuildRequest
from edgenext_deploy.files import sha256_of_bytes, write_files_atomically

MIB = 1 << 20
FLAG_RELEASES = ["8.0", "8.2", "8.5", "8.6", "10.3", "10.13"]
TYPED_RELEASES = ["10.3", "10.13", "11.1"]
ALL_RELEASES = [*FLAG_RELEASES, "11.1"]
PINS = {"LayerNorm": ("norm/mean", "norm/centre"), "test": ("gone",)}


def tiny(folder):
    """Copy the committed graph and its manifest; return the path."""
    for name in ("tiny_classifier.onnx", "tiny_classifier.json"):
        shutil.copy(os.path.join(DATA, name), str(folder))
    return str(folder / "tiny_classifier.onnx")


def normed(folder, mode="flag", pins=None, nodes_after=(), target="nano"):
    """Write a graph with a norm in FP32, in flag or typed form, and its manifest; return the path."""
    typed = mode == "typed"
    kind = ow.HALF if typed else ow.FLOAT
    nodes, source = [], "image"
    if typed:
        nodes.append(ow.node("Cast", "image/to_fp16", ["image"], ["image16"], to=ow.HALF))
        source = "image16"
    nodes.append(ow.node("Conv", "conv", [source, "conv.weight"], ["features"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    taken = "features"
    if typed:
        nodes.append(ow.node("Cast", "conv/to_fp32", ["features"], ["features32"], to=ow.FLOAT))
        taken = "features32"
    nodes += [ow.node("ReduceMean", "norm/mean", [taken], ["mean"], axes=[1]),
              ow.node("Sub", "norm/centre", [taken, "mean"], ["centred"])]
    given = "centred"
    if typed:
        nodes.append(ow.node("Cast", "norm/to_fp16", ["centred"], ["centred16"], to=ow.HALF))
        given = "centred16"
    nodes += [ow.node("GlobalAveragePool", "pool", [given], ["pooled"]),
              ow.node("Flatten", "flatten", ["pooled"], ["flat"]),
              ow.node("MatMul", "head", ["flat", "head.weight"], ["logits16" if typed else "logits"])]
    if typed:
        nodes.append(ow.node("Cast", "logits/to_fp32", ["logits16"], ["logits"], to=ow.FLOAT))
    nodes += list(nodes_after)
    data = ow.model(nodes, [("image", ow.FLOAT, (1, 3, 32, 32))], [("logits", ow.FLOAT, (1, 10))],
                    [("conv.weight", kind, (8, 3, 3, 3)), ("head.weight", kind, (8, 10))])
    base = manifests.read(os.path.join(DATA, "tiny_classifier.json"))
    manifest = base._replace(
        variant="xxs", target=target, graph=GraphFile("net.onnx", sha256_of_bytes(data), len(data), 13, 7),
        precision=Precision("fp16", mode, PINS if pins is None else pins, 1.0, 0),
        weights=base.weights._replace(random=True))
    path = str(folder / "net.onnx")
    write_files_atomically({path: data, str(folder / "net.json"): manifests.dump(manifest)})
    return path


def install(monkeypatch, release, **behaviour):
    """Put the double of a release where ``import tensorrt`` finds it, and return it."""
    module = tensorrt_double.make(release, **behaviour)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def request(path, **changes):
    """Return a build request with plain values."""
    plain = BuildRequest(onnx_path=path, runtime="tensorrt", target="nano", precision=None, compute_capability=None,
                         workspace_bytes=64 * MIB)
    return plain._replace(**changes)
