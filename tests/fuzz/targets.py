"""What is fuzzed: each kind of foreign input, with seeds, and the function that reads it.

A function may return anything or raise one of the toolkit's errors; everything else is a fault.
"""
import contextlib
import glob
import io
import json
import os
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from paths import CAT, DATA, TESTS
from PIL import Image

from edgenext_deploy.artifacts import json_records, manifest, plan_header, plan_sidecar
from edgenext_deploy.artifacts.onnx_shell import require_plain_graph
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.accuracy.classification import ClassificationTask
from edgenext_deploy.benchmarks.accuracy.coco_file import read_coco
from edgenext_deploy.benchmarks.accuracy.evaluate import _is_row
from edgenext_deploy.benchmarks.accuracy.results import Results
from edgenext_deploy.benchmarks.compare.compare_text import dump_compared
from edgenext_deploy.benchmarks.compare.reports import compare
from edgenext_deploy.benchmarks.report.csv_table import to_csv
from edgenext_deploy.benchmarks.report.html.pages import report_page
from edgenext_deploy.benchmarks.report.markdown import to_markdown
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.bundle.writing import bundle_bytes
from edgenext_deploy.camera.open import parse_address
from edgenext_deploy.export.verdict.check import check_onnx
from edgenext_deploy.machine.power_mode import mode_names, mode_number, mode_of_command
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.models.checkpoints.outer_shell import require_weights
from edgenext_deploy.models.checkpoints.weights_file import read_weights_file
from edgenext_deploy.networks.labels import load_labels
from edgenext_deploy.preprocess.photo import load_photo
from edgenext_deploy.tensorrt_api import engine_layers


class Target(NamedTuple):
    """One kind of input.

    Attributes:
        seeds: right inputs, and those that were wrong once.
        read: takes the bytes, and a path at which they lie.
        examples: four times the number of inputs in `make test-all`, fifty times that in `make test`.
        is_json: fields are changed, too.
    """

    seeds: list
    read: object
    examples: int
    is_json: bool = False


def data(*names):
    paths = [path for name in names for path in sorted(glob.glob(os.path.join(DATA, name)))]
    return [Path(path).read_bytes() for path in paths]


def read_manifest(content, path):
    manifest.dump(manifest.parse(content, path))


def read_report(content, path):
    report = latency_report.read(path)
    for made in (to_csv, to_markdown, report_page, lambda one: dump_compared(compare([("a", one), ("b", one)]))):
        made(report)


def read_results(content, path):
    with Results(path, {"task": "classification"}, ["a", "b"], lambda row: _is_row(row, ClassificationTask(), 1, 10)):
        pass


def read_layers(content, path):
    text = content.decode("utf-8", "replace")
    engine_layers.from_builder_log(text)
    engine_layers.from_inspector(text)


def read_sysfs(content, path):
    tree = Tree(os.path.dirname(path))
    with contextlib.suppress(ValueError):  # what every sensor expects
        tree.integer(os.path.basename(path))
    text = tree.text(os.path.basename(path))
    mode_names(text)
    mode_number(text)
    mode_of_command(text)


def read_checkpoint(content, path):
    require_weights(path)
    read_weights_file(path)


def checkpoints():
    out = []
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save({"state_dict": {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}, "epoch": 3}, stream,
                   _use_new_zipfile_serialization=zipped)
        out.append(stream.getvalue())
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return [*out, struct.pack("<Q", len(header)) + header + bytes(8), *data("hostile/*.pth")]


def pictures():
    picture, out = Image.open(CAT).resize((24, 16)), []
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        stream = io.BytesIO()
        picture.save(stream, kind)
        out.append(stream.getvalue())
    return out + data("hostile/*.bmp", "hostile/*.tif")


def report():
    # As pytest would find it for the tests of that folder.
    sys.path.append(os.path.join(TESTS, "benchmarks"))
    from bench_doubles import make_nano_row, make_report, make_row

    return latency_report.dump(make_report(make_row(), make_nano_row()))


def sidecar():
    from plan_samples import RECORD, nano_plan, orin_record, rtx_plan

    return [plan_sidecar.dump(RECORD), plan_sidecar.dump(orin_record())], [nano_plan(), rtx_plan()]


def results():
    rows = [{"image": "a", "engines": [{"top": [1, 2, 3, 4, 5]}]}, {"image": "b", "error": "damaged"}]
    lines = [{"schema": 1, "task": "classification"}, *rows]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode()


def coco():
    return json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 6}], "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3], "area": 9, "iscrowd": 0}],
    }).encode()


def bundle():
    from race_bundles import tiny_graphs

    return bundle_bytes("tiny", tiny_graphs("one", "two"), {"three": "why"})


def read_bundle(content, path):
    found = open_bundle(path)
    for candidate in found.record.candidates:
        found.files(candidate.name)


def targets():
    sidecars, plans = sidecar()
    return {
        "manifest": Target(data("tiny_*.json", "hostile/*.json"), read_manifest, 3000, True),
        "sidecar": Target(sidecars, lambda content, path: plan_sidecar.parse_record(content, "x.plan.json"), 3000,
                          True),
        "bundle": Target([bundle()], read_bundle, 1500),
        "header": Target(plans, lambda content, path: plan_header.parse_header(
            content[:plan_header.HEAD_BYTES], len(content), "x.plan"), 4000),
        "layers": Target(data("hostile/fz_layers_*.bin"), read_layers, 4000),
        "report": Target([report()], read_report, 600, True),
        "resume": Target([results()], read_results, 1500),
        "coco": Target([coco()], lambda content, path: read_coco(path), 3000, True),
        "labels": Target([b"cat\ndog\n", b"0: cat\n1: dog\n", b'["cat", "dog"]', b"names:\n  - cat\n  - dog\n"],
                         lambda content, path: load_labels(path), 3000),
        "sysfs": Target([b"921600000\n", b"pmode:0001 fmode:fanNull\n", b"< POWER_MODEL ID=0 NAME=MAXN >\n",
                         b"NV Power Mode: MAXN\n0\n"], read_sysfs, 4000),
        "onnx": Target(data("tiny_*.onnx", "hostile/*.onnx"),
                       lambda content, path: require_plain_graph(content, path), 4000),
        "verdict": Target(data("tiny_*.onnx"), lambda content, path: check_onnx(path, real=False), 200),
        "image": Target(pictures(), lambda content, path: load_photo(path), 1000),
        "address": Target([b"rtsp://user:pass@host:554/a?latency=100", b"csi://0?flip=2", b"/dev/video0",
                           b"synthetic://640x480@30", b"0"],
                          lambda content, path: parse_address(content.decode("utf-8", "replace")), 4000),
        "checkpoint": Target(checkpoints(), read_checkpoint, 600),
        "json": Target([b'{"a": [1, 2.5, "x"], "b": null}'],
                       lambda content, path: json_records.parse_object(content, path, "thing", "fix"), 4000),
    }
