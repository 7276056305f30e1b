"""edgenext-eval on networks that have learned something: equal to PyTorch before the export, image for image."""
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import shapes
import torch
import trained
from command_lines import run_here
from exports import quick_export
from PIL import Image
from plain_nms import plain_nms
from safetensors.torch import load_file

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.manifest import Detection
from edgenext_deploy.benchmarks.accuracy.cli import eval_command
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.runtime.options import RuntimeOptions

ONE_THREAD = RuntimeOptions(threads=1)
DIGITS = 300  # of the held-out images
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CHILD = [sys.executable, "-m", "edgenext_deploy.benchmarks.accuracy.cli"]
SSD = Detection(0.01, 0.5, 400, 200)


def load(variant, classes, weights):
    model = create_model(variant, num_classes=classes)
    model.load_state_dict(load_file(weights), strict=True)
    return model.requires_grad_(False)


def export(folder, module, name, classes, labels, **options):
    folder.mkdir(exist_ok=True)
    (folder / "labels.txt").write_text("\n".join(labels))
    with module.registered():
        return quick_export(ExportRequest(
            name, weights=module.weights_file(name), num_classes=classes, image_size=module.SIZE,
            labels=str(folder / "labels.txt"), output=str(folder), **options)).onnx_path


@pytest.fixture(scope="module")
def digits_engine(tmp_path_factory):
    return export(tmp_path_factory.mktemp("digits"), trained, "digits", len(NAMES), NAMES)


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory):
    """The held-out digits as photos, in a folder for each name: a fine-tuned network's own classes."""
    folder = tmp_path_factory.mktemp("photos")
    images, labels = (values[:DIGITS] for values in trained.digits()[1])
    for name in NAMES:
        (folder / name).mkdir()
    for number, (image, label) in enumerate(zip(images, labels)):
        Image.fromarray(image).save(folder / NAMES[label] / f"{number:04}.png")
    return folder


def rows_of(path):
    return {row["image"]: row["engines"][0] for row in map(json.loads, path.read_text().splitlines()[1:])}


def test_digits_as_pytorch_answers_image_for_image(digits_engine, digits_folder, tmp_path):
    evaluation = evaluate(
        digits_engine, data=str(digits_folder), runtime=ONE_THREAD, resume=str(tmp_path / "rows.jsonl"))
    model = load(trained.TRAINED["digits"], len(NAMES), trained.weights_file("digits"))
    images, labels = (values[:DIGITS] for values in trained.digits()[1])
    with quiet_torch():
        best = model(torch.from_numpy(trained.network_inputs(images))).topk(5).indices.tolist()
    expected = {f"{NAMES[label]}/{number:04}.png": top for number, (label, top) in enumerate(zip(labels, best))}
    assert {key: row["top"] for key, row in rows_of(tmp_path / "rows.jsonl").items()} == expected
    top1, top5 = evaluation.engines[0].metrics
    assert top1.value == np.mean([top[0] == label for top, label in zip(best, labels)]) > 0.95
    assert top5.value == np.mean([label in top for top, label in zip(best, labels)]) > top1.value
    assert top1.low < top1.value < top1.high
    with Classifier(digits_engine, runtime=RuntimeOptions(threads=1), top_k=1) as classify:
        key = next(iter(expected))
        assert classify(str(digits_folder / key))[0].label == NAMES[expected[key][0]]


def test_killed_and_resumed_the_result_is_the_same(capsys, digits_engine, digits_folder, tmp_path):
    rows, target = tmp_path / "rows.jsonl", tmp_path / "result.json"
    arguments = ["--engine", digits_engine, "--data", str(digits_folder), "--threads", "1"]
    code, whole, _ = run_here(capsys, eval_command, *arguments, "--json")
    assert code == 0
    killed = False
    while not target.exists():
        child = subprocess.Popen([*CHILD, *arguments, "--resume", str(rows), "--json", str(target)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = rows.stat().st_size if rows.exists() else 0
        while not killed and child.poll() is None:
            if rows.exists() and rows.stat().st_size > before + 2000:
                child.send_signal(signal.SIGKILL)
                killed = child.wait() == -signal.SIGKILL
                break
            time.sleep(0.002)
        assert child.wait(120) in (0, -signal.SIGKILL)
    assert killed
    assert target.read_text() == whole
    assert len(rows_of(rows)) == DIGITS


@pytest.fixture(scope="module")
def scenes():
    return shapes.held_out_scenes()


def shapes_exports(folder, name, labels):
    """Return the FP32 and the typed FP16 engine."""
    classes = shapes.CLASSES[name]
    return (export(folder / "fp32", shapes, name, classes, labels, target="nano"),
            export(folder / "fp16", shapes, name, classes, labels, target="a100", fp16=True))


def inputs_of(images):
    """Return photos of the images as the network takes them, read back as edgenext-eval reads them."""
    prepared = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        prepared.append(preprocess(Image.open(file), shapes.PREPROCESSING))
    return torch.from_numpy(np.concatenate(prepared))


def pytorch_map(model, images, annotations):
    """Return COCO's mAP and mAP@.50 of the reference module, with boxes selected by plain loops."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet_torch():
        all_boxes, all_scores = (values.numpy() for values in model.detect(inputs_of(images)))
    found = []
    for number, (boxes, scores) in enumerate(zip(all_boxes, all_scores)):
        for index, anchor in plain_nms(boxes.tolist(), scores, SSD):
            left, top, right, bottom = np.clip(boxes[anchor], 0, 1) * np.array([shapes.WIDTH, shapes.HEIGHT] * 2)
            found.append({"image_id": 1000 + number, "category_id": (3, 17, 90)[index], "score": scores[anchor, index],
                          "bbox": [left, top, right - left, bottom - top]})
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


def test_a_trained_detector_is_as_good_after_the_export(scenes, tmp_path):
    images, _, objects = scenes
    annotations = shapes.write_coco(tmp_path, images, objects)
    engines = shapes_exports(tmp_path, "shapes_ssdlite", shapes.SHAPES)
    evaluation = evaluate(*engines, data=str(tmp_path / "photos"), labels=str(annotations), runtime=ONE_THREAD)
    assert evaluation.used == shapes.HELD_OUT
    model = load(shapes.TRAINED["shapes_ssdlite"], 3, shapes.weights_file("shapes_ssdlite"))
    expected, expected50 = pytorch_map(model, images, annotations)
    assert expected50 > 0.85 and expected > 0.5
    for result, tolerance in zip(evaluation.engines, (1e-4, 5e-3)):
        metrics = {metric.key: metric.value for metric in result.metrics}
        assert metrics["map"] == pytest.approx(expected, abs=tolerance)
        assert metrics["map50"] == pytest.approx(expected50, abs=tolerance)
    # Labels in another order are matched by name; by position they would be wrong.
    assert evaluation.data.categories == (3, 17, 90)


def pytorch_miou(model, images, masks):
    """Return the mIoU of the reference module at the masks' size, by the definition."""
    with quiet_torch():
        answers = model.segment(inputs_of(images)).numpy()
    rows, columns = ((2 * np.arange(size) + 1) * shapes.SIZE // (2 * size) for size in (shapes.HEIGHT, shapes.WIDTH))
    resized = answers[:, rows[:, None], columns]
    counted = masks != shapes.VOID
    return np.mean([((resized == index) & (masks == index)).sum() / (
        counted & ((resized == index) | (masks == index))).sum() for index in range(4)])


def test_a_trained_segmenter_is_as_good_after_the_export(scenes, tmp_path):
    images, masks, _ = scenes
    shapes.write_voc(tmp_path / "voc", images, masks)
    labels = ["background", *shapes.SHAPES]
    engines = shapes_exports(tmp_path, "shapes_deeplabv3", labels)
    evaluation = evaluate(*engines, data=str(tmp_path / "voc"), runtime=ONE_THREAD)
    assert evaluation.used == shapes.HELD_OUT
    model = load(shapes.TRAINED["shapes_deeplabv3"], 4, shapes.weights_file("shapes_deeplabv3"))
    expected = pytorch_miou(model, images, shapes.with_void(masks))
    assert expected > 0.7
    for result, tolerance in zip(evaluation.engines, (1e-4, 5e-3)):
        assert result.metrics[0].value == pytest.approx(expected, abs=tolerance)
        assert min(result.details["iou"].values()) > 0.5
    assert os.path.basename(evaluation.data.items[0].path) == "scene000.png"
