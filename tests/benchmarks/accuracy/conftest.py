"""Small data sets in each layout that edgenext-eval reads, and the command in this process."""
import json

import numpy as np
import pytest
from command_lines import run_here
from PIL import Image
from tiny_tasks import DETECTOR_LABELS, detector_frame

from edgenext_deploy.benchmarks.accuracy import cli, detection
from edgenext_deploy.run.palette import voc_palette

# What the tiny classifier answers to each is known from tests/core/test_classifier.py.
PHOTOS = {"red": [(255, 0, 0), (240, 20, 20)], "green": [(0, 255, 0), (0, 0, 255)],
          "black": [(3, 0, 4), (250, 250, 250)]}


@pytest.fixture
def run(capsys):
    """Run edgenext-eval in this process; returns (exit code, stdout, stderr)."""
    def call(*arguments):
        return run_here(capsys, cli.eval_command, *arguments)

    return call


@pytest.fixture
def photos(tmp_path):
    """Six photos; four of them are in the folder of the colour that they have."""
    folder = tmp_path / "photos"
    for name, colors in PHOTOS.items():
        (folder / name).mkdir(parents=True)
        for number, color in enumerate(colors):
            Image.new("RGB", (40, 50), color).save(str(folder / name / "{}.png".format(number)))
    return folder


@pytest.fixture
def coco(tmp_path):
    """Two photos of the detector's; it is right on the cup, wrong on the dog, and the tree is not seen."""
    folder = tmp_path / "coco"
    folder.mkdir()
    frames = (detector_frame((0, 250, 0, 51, 102, 204)), detector_frame((1, 200, 0, 0, 128, 128)))
    for number, frame in enumerate(frames):
        Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1])).save(str(folder / "{}.png".format(number)))
    boxes = ((0, 0, [0, 1.2, 1.6, 3.6]), (1, 1, [2, 3, 2, 3]), (1, 2, [0, 0, 1, 1]))
    document = {
        "images": [{"id": 5 + number, "file_name": "{}.png".format(number), "width": 4, "height": 6}
                   for number in range(2)],
        "categories": [{"id": 10 + index, "name": name} for index, name in enumerate(DETECTOR_LABELS)],
        "annotations": [{"id": number + 1, "image_id": 5 + image, "category_id": 10 + index, "bbox": box,
                         "area": box[2] * box[3], "iscrowd": 0} for number, (image, index, box) in enumerate(boxes)]}
    (folder / detection.DEFAULT_ANNOTATIONS).write_text(json.dumps(document))
    return folder


@pytest.fixture
def voc(tmp_path):
    """Two photos, 12x8 and 24x16, of which the segmenter sees three quarters of the pixels right."""
    folder = tmp_path / "voc"
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    for number, scale in enumerate((1, 2)):
        seen = np.zeros((8 * scale, 12 * scale), np.uint8)
        seen[:, 6 * scale:] = 2
        truth = seen.copy()
        truth[:, 9 * scale:] = 1
        truth[0] = 255
        pixels = np.eye(3, dtype=np.uint8)[seen] * 255
        Image.fromarray(pixels).save(str(folder / "JPEGImages" / "{}.png".format(number)))
        mask = Image.fromarray(truth).convert("P")
        mask.putdata(truth.ravel().tolist())
        mask.putpalette(voc_palette().ravel().tolist())
        mask.save(str(folder / "SegmentationClass" / "{}.png".format(number)))
    return folder
