"""Bundles of small graphs that compute the same, made without onnx: for Python 3.6 too."""
from doubles import onnx_writer as ow
from paths import TINY

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Precision
from edgenext_deploy.bundle.writing import NamedGraph, bundle_bytes
from edgenext_deploy.files import sha256_of_bytes


def named(name, graph, manifest, **changes):
    """Return one graph for a bundle, its manifest made to fit."""
    file = manifest.graph._replace(sha256=sha256_of_bytes(graph), bytes=len(graph))
    return NamedGraph(name, graph, manifests.dump(manifest._replace(graph=file, **changes)))


def tiny_manifest():
    """Return the tiny classifier's manifest, as if it were for an FP16 engine by builder flag."""
    manifest = manifests.read(TINY.replace(".onnx", ".json"))
    golden = manifest.golden._replace(tolerance=dict(manifest.golden.tolerance, fp16=0.02))
    return manifest._replace(golden=golden, precision=Precision("fp16", "flag"))


def tiny_graphs(*names, pins=()):
    """Return graphs that differ in nothing but a comment; `pins` has the number of FP32 pins of each."""
    with open(TINY, "rb") as stream:
        graph = stream.read()
    manifest = tiny_manifest()
    found = []
    for index, name in enumerate(names):
        count = pins[index] if index < len(pins) else 0
        pinned = {"test": tuple("node{}".format(number) for number in range(count))} if count else {}
        # Field 6 of ModelProto is its doc_string.
        found.append(named(name, graph + ow._field(6, "formulation " + name), manifest,
                           precision=manifest.precision._replace(fp32_pins=pinned)))
    return found


def write_tiny(path, *names, pins=(), left_out=None):
    """Write a bundle of `tiny_graphs`; return its path."""
    with open(str(path), "wb") as stream:
        stream.write(bundle_bytes("tiny", tiny_graphs(*names, pins=pins), left_out))
    return str(path)
