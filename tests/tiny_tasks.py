"""Engines that answer with their own pixels, so that a test draws the answer it wants; made without onnx.

The detector's input is `[1, 3, anchors, 4]`: the red channel is the boxes, one row each (left, top, right, bottom in
255ths), the green channel is the scores of four classes. The segmenter names the brightest channel of each pixel.
"""
import json
import os

import numpy as np
from doubles import onnx_writer
from paths import DATA

from edgenext_deploy.files import sha256_of_file

_TINY = os.path.join(DATA, "tiny_classifier.json")
_INT32 = 6
ANCHORS, CLASSES = 6, 4
DETECTOR_LABELS = ["cup", "dog", "tree", "car"]
SEGMENTER_LABELS = ["background", "grass", "sky"]
SETTINGS = {"score_threshold": 0.1, "iou_threshold": 0.5, "candidates": 400, "keep": 200}


def write_engine(folder, name, graph, height, width, outputs, change):
    """Write an ONNX file and its manifest; `change` edits the manifest's JSON. Returns the path of the ONNX file."""
    path = os.path.join(str(folder), name + ".onnx")
    with open(path, "wb") as stream:
        stream.write(graph)
    with open(_TINY) as stream:
        data = json.load(stream)
    data["graph"].update(file=name + ".onnx", sha256=sha256_of_file(path), bytes=len(graph))
    data["inputs"][0]["shape"] = [1, 3, height, width]
    data["outputs"] = [{"name": key, "shape": list(shape), "dtype": dtype} for key, shape, dtype in outputs]
    data["preprocessing"].update(height=height, width=width, crop_pct=1.0, fit="stretch", mean=[0.0] * 3, std=[1.0] * 3)
    data["variant"] = name
    change(data)
    with open(os.path.join(str(folder), name + ".json"), "w") as stream:
        json.dump(data, stream)
    return path


def letterboxed(color=(0, 255, 0), **fields):
    """Return the change that has frames put into a border."""
    def change(data):
        data.update(schema=2)
        data["preprocessing"].update(fit="letterbox", pad_color=list(color), interpolation="nearest", **fields)
    return change


def write_detector(folder, name="detector", change=lambda data: None, swapped=False):
    """Write the detector; `swapped` gives the scores as its first output."""
    node, shape = onnx_writer.node, (1, ANCHORS, 4)
    nodes = [node("Split", "split", ["image"], ["red", "green", "blue"], axis=1),
             node("Squeeze", "boxes", ["red"], ["boxes"], axes=[1]),
             node("Squeeze", "scores", ["green"], ["scores"], axes=[1])]
    outputs = [("boxes", onnx_writer.FLOAT, shape), ("scores", onnx_writer.FLOAT, shape)]
    graph = onnx_writer.model(nodes, [("image", onnx_writer.FLOAT, (1, 3, ANCHORS, 4))],
                              outputs[::-1] if swapped else outputs, [], opset=11)

    def edit(data):
        data.update(task="detection", labels=DETECTOR_LABELS, detection=dict(SETTINGS))
        change(data)

    return write_engine(folder, name, graph, ANCHORS, 4,
                        [("boxes", shape, "float32"), ("scores", shape, "float32")], edit)


def detector_frame(*objects):
    """Return the BGR frame `[6, 4, 3]` on which the detector finds these (class, score, left, top, right, bottom).

    Scores and coordinates are in 255ths.
    """
    frame = np.zeros((ANCHORS, 4, 3), np.uint8)
    for row, (index, score, left, top, right, bottom) in enumerate(objects):
        frame[row, :, 2] = left, top, right, bottom
        frame[row, index, 1] = score
    return frame


def write_segmenter(folder, name="segmenter", height=8, width=12, change=lambda data: None):
    """Write the segmenter."""
    nodes = [onnx_writer.node("ArgMax", "best", ["image"], ["wide"], axis=1, keepdims=0),
             onnx_writer.node("Cast", "cast", ["wide"], ["classes"], to=_INT32)]
    shape = (1, height, width)
    graph = onnx_writer.model(nodes, [("image", onnx_writer.FLOAT, (1, 3, height, width))],
                              [("classes", _INT32, shape)], [], opset=11)

    def edit(data):
        data.update(task="segmentation", labels=SEGMENTER_LABELS)
        change(data)

    return write_engine(folder, name, graph, height, width, [("classes", shape, "int32")], edit)
