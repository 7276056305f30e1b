"""Scenes of circles, squares and triangles, and two narrow networks trained on them; see tests/data/README.md.

A scene is 120 wide and 90 high; the networks take 96x96, so what they see is stretched. Their names are no part
of the registry: they are known only inside `registered`.
"""
import contextlib
import json
from pathlib import Path
from unittest import mock

import numpy as np
import paths
from PIL import Image

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.models.definitions.config import DeepLabConfig, EdgeNeXtConfig, SSDLiteConfig
from edgenext_deploy.models.variants.registry import VARIANTS, Variant
from edgenext_deploy.run.palette import voc_palette

DATA = Path(paths.DATA)
SHAPES = ("circle", "square", "triangle")
SIZE = 96  # of the networks' inputs
WIDTH, HEIGHT = 120, 90  # of a scene
VOID = 255  # in masks: a ring around each shape, which no metric counts
TRAINING, HELD_OUT = 1536, 48  # scenes
_HUES = ((220, 60, 60), (60, 180, 75), (70, 90, 230))
_MEAN = _STD = (0.5, 0.5, 0.5)


def _variant(name, head):
    config = EdgeNeXtConfig(dims=(12, 20, 28, 32), depths=(1, 1, 2, 2), heads=(4, 4, 4, 4), layer_scale=0.1)
    return Variant(name, config, _MEAN, _STD, 1.0, (), image_size=SIZE, head=head)


TRAINED = {variant.name: variant for variant in (
    _variant("shapes_ssdlite", SSDLiteConfig(
        strides=(16, 32, 64, 0), widths=(48, 48, 48, 32), ratios=((2, 3), (2, 3), (2, 3), (2,)), scales=(0.15, 0.9))),
    _variant("shapes_deeplabv3", DeepLabConfig(width=32, rates=(1, 2, 3))),
)}
CLASSES = {"shapes_ssdlite": len(SHAPES), "shapes_deeplabv3": 1 + len(SHAPES)}
PREPROCESSING = Preprocessing(SIZE, SIZE, 1.0, "bicubic", _MEAN, _STD, False, "stretch")


@contextlib.contextmanager
def registered():
    """Make the registry know the trained variants."""
    with mock.patch.dict(VARIANTS, TRAINED):
        yield


def weights_file(name):
    """Return the path of a trained variant's weights."""
    return str(DATA / (name + ".safetensors"))


def scenes(count, seed):
    """Return `count` scenes.

    Returns:
        images uint8 `[count, HEIGHT, WIDTH, 3]` RGB; masks uint8 `[count, HEIGHT, WIDTH]`, 0 for the background, then
        the shapes in the order of `SHAPES`; and for each scene its objects, a list of (shape's index in `SHAPES`,
        (left, top, right, bottom) in pixels).
    """
    random = np.random.default_rng(seed)
    images = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    masks = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    objects = []
    for image, mask in zip(images, masks):
        colors = np.empty((HEIGHT, WIDTH, 3))
        colors[:] = random.integers(60, 200, 3)
        found = []
        for _ in range(random.integers(1, 5)):
            _place(random, colors, mask, found)
        image[:] = np.clip(colors + random.integers(-25, 26, colors.shape), 0, 255)
        objects.append(found)
    return images, masks, objects


def training_scenes():
    """Return the scenes that the networks were trained on."""
    return scenes(TRAINING, 1)


def held_out_scenes():
    """Return scenes that they have not seen."""
    return scenes(HELD_OUT, 2)


def _place(random, colors, mask, found):
    """Draw a shape where it touches no other; after some attempts in vain, none."""
    for _ in range(20):
        size = int(random.integers(20, 49))
        left, top = int(random.integers(0, WIDTH - size + 1)), int(random.integers(0, HEIGHT - size + 1))
        window = slice(top, top + size), slice(left, left + size)
        if mask[window].any():
            continue
        index = int(random.integers(len(SHAPES)))
        inside = _inside(SHAPES[index], size)
        colors[window][inside] = np.array(_HUES[index]) + random.integers(-30, 31, 3)
        mask[window][inside] = index + 1
        found.append((index, (left, top, left + size, top + size)))
        return


def _inside(shape, size):
    """Return which pixels of a square window belong to the shape, bool `[size, size]`."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    if shape == "circle":
        return x * x + y * y <= 1
    if shape == "square":
        return np.ones((size, size), bool)
    return np.abs(x) <= (y + 1) / 2


def write_coco(folder, images, objects):
    """Write photos and a COCO annotation file, ids as odd as COCO's own; returns the file's path."""
    (folder / "photos").mkdir()
    photos, annotations = [], []
    for number, (image, found) in enumerate(zip(images, objects)):
        name = f"scene{number:03}.png"
        Image.fromarray(image).save(folder / "photos" / name)
        photos.append({"id": 1000 + number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for index, (left, top, right, bottom) in found:
            annotations.append({
                "id": len(annotations) + 1, "image_id": 1000 + number, "category_id": _category(index),
                "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top), "iscrowd": 0})
    path = folder / "instances.json"
    path.write_text(json.dumps({
        "images": photos, "annotations": annotations,
        "categories": [{"id": _category(index), "name": name} for index, name in reversed(list(enumerate(SHAPES)))]}))
    return path


def _category(index):
    return (3, 17, 90)[index]


def write_voc(folder, images, masks):
    """Write photos and palette masks in VOC's layout, each shape with a ring of void around it."""
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(images, with_void(masks))):
        Image.fromarray(image).save(folder / "JPEGImages" / f"scene{number:03}.png")
        picture = Image.fromarray(mask).convert("P")
        picture.putdata(mask.ravel().tolist())
        picture.putpalette(voc_palette().ravel().tolist())
        picture.save(folder / "SegmentationClass" / f"scene{number:03}.png")


def with_void(masks):
    """Return masks with VOID where a pixel's left, right, upper or lower neighbour is of another class."""
    result = masks.copy()
    down, across = masks[:, 1:] != masks[:, :-1], masks[:, :, 1:] != masks[:, :, :-1]
    for part, edge in ((result[:, 1:], down), (result[:, :-1], down), (result[:, :, 1:], across),
                       (result[:, :, :-1], across)):
        part[edge] = VOID
    return result
